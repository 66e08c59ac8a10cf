with

candles as (

    select * from {{ ref('fct_candles') }}

),

neighbours as (

    select
        *,
        lead(high) over series_in_time as next_high,
        lead(low) over series_in_time as next_low,
        lead(close) over series_in_time as next_close,
        lead(available_at) over series_in_time as next_available_at
    from candles
    window series_in_time as (partition by {{ series() }} order by open_time)

),

final as (

    select
        exchange,
        symbol,
        timeframe,
        open_time,
        -- the next row of the raster may be a gap, which has no prices
        case when next_close is not null then next_available_at end as label_available_at,
        ln(next_high / close) as label_high,
        ln(next_low / close) as label_low,
        ln(next_close / close) as label_close
    from neighbours
    where not is_gap

)

select * from final
