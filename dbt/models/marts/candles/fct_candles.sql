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
        candles.exchange,
        candles.symbol,
        candles.timeframe,
        candles.open_time,
        candles.open_time + to_milliseconds(markets.timeframe_ms) as close_time,
        -- a candle is known when it has closed
        candles.open_time + to_milliseconds(markets.timeframe_ms) as available_at,
        candles.open,
        candles.high,
        candles.low,
        candles.close,
        candles.volume,
        candles.is_gap,
        candles.run_length,
        candles.load_id
    from candles
    -- series that are configured no more keep their rows below, but are not shown
    inner join markets
        on
            candles.exchange = markets.exchange
            and candles.symbol = markets.symbol
            and candles.timeframe = markets.timeframe

)

select * from final
