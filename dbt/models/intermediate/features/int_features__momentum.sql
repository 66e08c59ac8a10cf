with

lists as (

    select * from {{ candle_lists() }}

),

prepared as (

    select
        *,
        vec_log_return(close, 1) as log_return,
        vec_subtract(close, vec_min(low, vec_lag(close, 1))) as buying_pressure,
        ta_trange(high, low, close) as true_range,
        vec_divide(vec_subtract(close, open), vec_subtract(high, low)) as balance
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(ta_cci(high, low, close, 20)) as cci_20,
        unnest(ta_willr(high, low, close, 14)) as willr_14,
        unnest(vec_log_return(close, 10)) as log_return_10,
        unnest(vec_log_return(close, 20)) as log_return_20,
        unnest(window_std(log_return, 10)) as std_10,
        unnest(window_std(log_return, 20)) as std_20,
        unnest(window_sum(buying_pressure, 7)) as pressure_7,
        unnest(window_sum(buying_pressure, 14)) as pressure_14,
        unnest(window_sum(buying_pressure, 28)) as pressure_28,
        unnest(window_sum(true_range, 7)) as range_7,
        unnest(window_sum(true_range, 14)) as range_14,
        unnest(window_sum(true_range, 28)) as range_28,
        unnest(window_mean(balance, 14)) as balance_14,
        unnest(ta_trix(close, 15)) as trix_15
    from prepared

),

-- not TA-Lib's ULTOSC: its running sums accumulate rounding errors, which show after a large fall
final as (

    select
        candle_id,
        {{ feature('cci_20', 'cci_20 / 100') }},
        {{ feature('williams_r_14', 'willr_14 / 100') }},
        -- the sample's deviation: n / (n - 1) and the n below the root leave n - 1
        {%- for n in (10, 20) %}
        {{ feature(
            'momentum_normalised_' ~ n,
            'case when std_N > 0 then log_return_N / (std_N * N / sqrt(N - 1)) else 0 end'.replace('N', n | string)
        ) }},
        {%- endfor %}
        {{ feature(
            'ultimate_oscillator',
            '(4 * case when range_7 > 0 then pressure_7 / range_7 else 0.5 end'
            ~ ' + 2 * case when range_14 > 0 then pressure_14 / range_14 else 0.5 end'
            ~ ' + case when range_28 > 0 then pressure_28 / range_28 else 0.5 end) / 7'
        ) }},
        {{ feature('balance_of_power_14', 'balance_14') }},
        {{ feature('trix_15', 'trix_15 / 100') }}
    from indicators

)

select * from final
