with

lists as (

    select * from {{ candle_lists() }}

),

logs as (

    select
        candle_id,
        run_length,
        vec_log_return(close, 1) as log_return,
        vec_log(vec_divide(open, vec_lag(close, 1))) as overnight,
        vec_log(vec_divide(close, open)) as close_open,
        rogers_satchell_variance(open, high, low, close) as rogers_satchell
    from lists

),

squared as (

    select
        *,
        vec_multiply(log_return, log_return) as squared_return,
        vec_positive(vec_scale(log_return, -1)) as fall
    from logs

),

windows as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(window_mean(rogers_satchell, 24)) as rogers_satchell,
        unnest(window_std(overnight, 24)) as overnight_std,
        unnest(window_std(close_open, 24)) as close_open_std,
        unnest(ewm_mean(squared_return, 0.06)) as ewm_squared,
        unnest(window_mean(squared_return, 24)) as squared_24,
        unnest(window_mean(squared_return, 168)) as squared_168,
        unnest(window_mean(squared_return, 720)) as squared_720,
        unnest(window_mean(vec_multiply(fall, fall), 24)) as negative_squared,
        unnest(window_std(window_std(log_return, 6), 24)) as std_of_std
    from squared

),

-- n / (n - 1) turns the variance of a population into that of a sample
final as (

    select
        candle_id,
        -- the paper's weight, 0.34 / (1.34 + (n + 1) / (n - 1)) with n = 24
        {%- set weight = 0.34 / (1.34 + 25 / 23) %}
        {{ feature(
            'yang_zhang_24',
            'sqrt((overnight_std * overnight_std + ' ~ weight ~ ' * close_open_std * close_open_std) * 24 / 23'
            ~ ' + (1 - ' ~ weight ~ ') * greatest(rogers_satchell, 0))'
        ) }},
        {{ feature('ewma_volatility', 'sqrt(ewm_squared)') }},
        {{ feature('har_day', 'sqrt(squared_24)') }},
        {{ feature('har_week', 'sqrt(squared_168)') }},
        {{ feature('har_month', 'sqrt(squared_720)') }},
        {{ feature('downside_volatility_24', 'sqrt(negative_squared)') }},
        {{ feature('volatility_of_volatility_24', 'std_of_std * sqrt(6 / 5) * sqrt(24 / 23)') }}
    from windows

)

select * from final
