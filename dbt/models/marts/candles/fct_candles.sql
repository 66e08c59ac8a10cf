with

candles as (

    select * from {{ ref('int_candles__all') }}

),

final as (

    select
        exchange,
        symbol,
        timeframe,
        open_time,
        close_time,
        -- a candle is known when it has closed
        close_time as available_at,
        open,
        high,
        low,
        close,
        volume,
        is_gap,
        run_length,
        load_id
    from candles
    where not is_outside

)

select * from final
