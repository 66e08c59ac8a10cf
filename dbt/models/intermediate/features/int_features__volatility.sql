with

lists as (

    select * from {{ candle_lists() }}

),

logs as (

    select
        candle_id,
        run_length,
        vec_log_return(close, 1) as log_return,
        vec_log(vec_divide(high, low)) as high_low,
        vec_log(vec_divide(close, open)) as close_open,
        rogers_satchell_variance(open, high, low, close) as rogers_satchell
    from lists

),

windows as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(window_std(log_return, 6)) as std_6,
        unnest(window_std(log_return, 24)) as std_24,
        unnest(window_std(log_return, 72)) as std_72,
        unnest(window_mean(vec_multiply(high_low, high_low), 24)) as high_low_squared,
        unnest(window_mean(vec_multiply(close_open, close_open), 24)) as close_open_squared,
        unnest(window_mean(rogers_satchell, 24)) as rogers_satchell
    from logs

),

-- n / (n - 1) turns the variance of a population into that of a sample
final as (

    select
        candle_id,
        {{ feature('volatility_6', 'std_6 * sqrt(6 / 5)') }},
        {{ feature('volatility_24', 'std_24 * sqrt(24 / 23)') }},
        {{ feature('volatility_72', 'std_72 * sqrt(72 / 71)') }},
        {{ feature('parkinson_24', 'sqrt(high_low_squared / (4 * ln(2)))') }},
        {{ feature(
            'garman_klass_24',
            'sqrt(greatest(0.5 * high_low_squared - (2 * ln(2) - 1) * close_open_squared, 0))'
        ) }},
        {{ feature('rogers_satchell_24', 'sqrt(greatest(rogers_satchell, 0))') }}
    from windows

)

select * from final
