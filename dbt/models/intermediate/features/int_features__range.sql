with

lists as (

    select * from {{ candle_lists() }}

),

runs as (

    select
        candle_id,
        run_length,
        vec_log(vec_divide(high, vec_lag(close, 1))) as high_run,
        vec_log(vec_divide(low, vec_lag(close, 1))) as low_run
    from lists

),

averaged as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(ta_ema(high_run, 6)) as high_ewma_6,
        unnest(window_mean(high_run, 6)) as high_mean_6,
        unnest(window_mean(high_run, 24)) as high_mean_24,
        unnest(window_mean(high_run, 72)) as high_mean_72,
        unnest(window_mean(high_run, 168)) as high_mean_168,
        unnest(ta_ema(low_run, 6)) as low_ewma_6,
        unnest(window_mean(low_run, 6)) as low_mean_6,
        unnest(window_mean(low_run, 24)) as low_mean_24,
        unnest(window_mean(low_run, 72)) as low_mean_72,
        unnest(window_mean(low_run, 168)) as low_mean_168
    from runs

),

final as (

    select
        candle_id,
        {{ feature('range_high_ewma_6', 'high_ewma_6') }},
        {{ feature('range_high_mean_6', 'high_mean_6') }},
        {{ feature('range_high_mean_24', 'high_mean_24') }},
        {{ feature('range_high_mean_72', 'high_mean_72') }},
        {{ feature('range_high_mean_168', 'high_mean_168') }},
        {{ feature('range_low_ewma_6', 'low_ewma_6') }},
        {{ feature('range_low_mean_6', 'low_mean_6') }},
        {{ feature('range_low_mean_24', 'low_mean_24') }},
        {{ feature('range_low_mean_72', 'low_mean_72') }},
        {{ feature('range_low_mean_168', 'low_mean_168') }}
    from averaged

)

select * from final
