with

lists as (

    select * from {{ ref('int_candles__lists') }}

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(close) as close,
        unnest(ta_atr(high, low, close, 6)) as atr_6,
        unnest(ta_atr(high, low, close, 14)) as atr_14
    from lists

),

final as (

    select
        candle_id,
        {{ feature('natr_6', 'atr_6 / close') }},
        {{ feature('natr_14', 'atr_14 / close') }}
    from indicators

)

select * from final
