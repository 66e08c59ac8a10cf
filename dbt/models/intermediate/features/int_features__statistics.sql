with

lists as (

    select * from {{ candle_lists() }}

),

moves as (

    select
        candle_id,
        run_length,
        close,
        vec_log(close) as log_close,
        vec_difference(close, 1) as change,
        vec_log_return(close, 1) as log_return,
        vec_log_return(close, 4) as log_return_4
    from lists

),

computed as (

    select
        *,
        window_line(log_close, 24) as line_24,
        window_line(log_close, 72) as line_72,
        window_strikes(close, 24) as strikes,
        window_moments(log_return, 24) as moments_24,
        window_moments(log_return, 72) as moments_72
    from moves

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(moments_24.skew) as skew_24,
        unnest(moments_72.skew) as skew_72,
        unnest(moments_24.kurtosis) as kurtosis_24,
        unnest(moments_72.kurtosis) as kurtosis_72,
        unnest(line_24.slope) as slope_24,
        unnest(line_72.slope) as slope_72,
        unnest(line_24.r2) as r2_24,
        unnest(window_area(close, 24)) as area_24,
        unnest(window_first_maximum(close, 24)) as first_maximum_24,
        unnest(window_first_maximum(vec_scale(close, -1), 24)) as first_minimum_24,
        unnest(strikes.below) as strike_below_24,
        unnest(strikes.above) as strike_above_24,
        -- the last move of the window less its first
        unnest(vec_difference(log_return, 22)) as bend_24,
        unnest(window_autocorrelation(log_return, 24)) as autocorrelation_24,
        unnest(window_rank(close, 24)) as close_rank_24,
        unnest(window_rank(close, 72)) as close_rank_72,
        unnest(vec_difference(close, 24)) as change_24,
        unnest(window_sum(vec_abs(change), 24)) as path_24,
        unnest(window_mean(vec_positive(vec_sign(change)), 24)) as up_share_24,
        unnest(window_std(log_return, 24)) as deviation_1,
        unnest(window_std(log_return_4, 24)) as deviation_4
    from computed

),

final as (

    select
        candle_id,
        {{ feature('skew_24') }},
        {{ feature('skew_72') }},
        {{ feature('kurtosis_24') }},
        {{ feature('kurtosis_72') }},
        {{ feature('slope_24', 'slope_24 * 24') }},
        {{ feature('slope_72', 'slope_72 * 72') }},
        {{ feature('regression_r2_24', 'r2_24') }},
        {{ feature('area_24') }},
        {{ feature('first_maximum_24') }},
        {{ feature('first_minimum_24') }},
        {{ feature('longest_strike_below_mean_24', 'strike_below_24') }},
        {{ feature('longest_strike_above_mean_24', 'strike_above_24') }},
        {{ feature('second_derivative_24', 'bend_24 / 44') }},
        {{ feature('autocorrelation_24') }},
        {{ feature('close_rank_24') }},
        {{ feature('close_rank_72') }},
        {{ feature('efficiency_ratio_24', 'case when path_24 > 0 then abs(change_24) / path_24 else 0 end') }},
        {{ feature('up_share_24') }},
        {{ feature(
            'variance_ratio_24',
            'case when deviation_1 > 0 then deviation_4 ** 2 / (4 * deviation_1 ** 2) else 1 end'
        ) }}
    from indicators

)

select * from final
