with

lists as (

    select * from {{ candle_lists() }}

),

computed as (

    select
        candle_id,
        run_length,
        close,
        window_hann(close, 20) as hann_20
    from lists

),

smoothed as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(close) as close,
        unnest(hann_20) as hann_20,
        unnest(vec_lag(hann_20, 1)) as hann_20_before,
        unnest(window_hann(close, 50)) as hann_50
    from computed

),

final as (

    select
        candle_id,
        {{ feature('hann_20') }},
        {{ feature('close_over_hann_20', 'close / hann_20 - 1') }},
        {{ feature('hann_slope_20', 'hann_20 / hann_20_before - 1') }},
        {{ feature('close_over_hann_50', 'close / hann_50 - 1') }}
    from smoothed

)

select * from final
