with

lists as (

    select * from {{ candle_lists() }}

),

computed as (

    select
        candle_id,
        run_length,
        -- STOCHF with a smoothing of 1: STOCH smooths by running sums, which accumulate rounding errors
        (ta_stochf(high, low, close, 14, 1, 0)).fastk as fast_k_14,
        (ta_stochf(high, low, close, 50, 1, 0)).fastk as fast_k_50
    from lists

),

smoothed as (

    select
        *,
        window_mean(fast_k_14, 3) as slow_k_14
    from computed

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(fast_k_14) as fast_k_14,
        unnest(slow_k_14) as slow_k_14,
        unnest(window_mean(slow_k_14, 3)) as slow_d_14,
        unnest(window_mean(fast_k_50, 3)) as slow_k_50
    from smoothed

),

final as (

    select
        candle_id,
        {{ feature('stochastic_k_14', 'slow_k_14 / 100') }},
        {{ feature('stochastic_d_14', 'slow_d_14 / 100') }},
        {{ feature('stochastic_fast_k_14', 'fast_k_14 / 100') }},
        {{ feature('stochastic_j_14', '(3 * slow_k_14 - 2 * slow_d_14) / 100') }},
        {{ feature('stochastic_k_50', 'slow_k_50 / 100') }}
    from indicators

)

select * from final
