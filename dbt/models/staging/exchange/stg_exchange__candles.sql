with

source as (

    select * from {{ source('raw', 'candles') }}

),

final as (

    select
        exchange,
        symbol,
        timeframe,
        open_time,
        open,
        high,
        low,
        close,
        volume,
        load_id,
        loaded_at
    from source
    -- a candle that the exchange revised was loaded again: the last load wins
    qualify
        row_number() over (
            partition by exchange, symbol, timeframe, open_time
            order by load_id desc, loaded_at desc
        ) = 1

)

select * from final
