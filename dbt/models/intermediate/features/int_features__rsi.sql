with

lists as (

    select * from {{ candle_lists() }}

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(ta_rsi(close, 6)) as rsi_6,
        unnest(ta_rsi(close, 14)) as rsi_14
    from lists

),

final as (

    select
        candle_id,
        {{ feature('rsi_6', 'rsi_6 / 100') }},
        {{ feature('rsi_14', 'rsi_14 / 100') }}
    from indicators

)

select * from final
