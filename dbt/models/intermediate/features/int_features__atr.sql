with

lists as (

    select * from {{ candle_lists() }}

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(close) as close,
        unnest(ta_trange(high, low, close)) as true_range,
        unnest(window_mean(ta_trange(high, low, close), 14)) as simple_14,
        unnest(ta_atr(high, low, close, 6)) as wilder_6,
        unnest(ta_atr(high, low, close, 14)) as wilder_14
    from lists

),

final as (

    select
        candle_id,
        {{ feature('natr_6', 'wilder_6 / close') }},
        {{ feature('natr_14', 'wilder_14 / close') }},
        {{ feature('atr_14', 'wilder_14') }},
        {{ feature('atr_simple_14', 'simple_14') }},
        {{ feature('natr_simple_14', 'simple_14 / close') }},
        {{ feature('true_range_over_close', 'true_range / close') }}
    from indicators

)

select * from final
