with

markets as (

    select * from {{ ref('dim_markets') }}

),

candles as (

    select * from {{ ref('int_candles__raster') }}
    union all by name
    select * from {{ ref('int_candles__resampled') }}

),

final as (

    select
        markets.series_id,
        candles.*,
        candles.open_time + to_milliseconds(markets.timeframe_ms) as close_time
    from candles
    -- upstream tables keep series that are no longer configured and rows of another base timeframe; both are left out
    inner join markets
        on
            candles.exchange = markets.exchange
            and candles.symbol = markets.symbol
            and candles.timeframe = markets.timeframe
            and candles.base_ms = markets.base_ms

)

select * from final
