with

lists as (

    select * from {{ ref('int_candles__lists') }}

),

computed as (

    select
        *,
        ta_macd(close, 12, 26, 9) as macd
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(close) as close,
        unnest(macd.macd) as macd,
        unnest(macd.macdsignal) as macdsignal,
        unnest(macd.macdhist) as macdhist
    from computed

),

final as (

    select
        candle_id,
        {{ feature('macd_line', 'macd / close') }},
        {{ feature('macd_signal', 'macdsignal / close') }},
        {{ feature('macd_histogram', 'macdhist / close') }}
    from indicators

)

select * from final
