with

candles as (

    select
        candle_id,
        series_number,
        open_time,
        run_length,
        ln(close / previous_close) as log_return,
        ln(high / low) as high_low,
        ln(close / open) as close_open,
        ln(high / close) * ln(high / open) + ln(low / close) * ln(low / open) as rogers_satchell
    from {{ ref('int_candles__window') }}

),

windows as (

    select
        candle_id,
        run_length,
        stddev_samp(log_return) over {{ past(6) }} as std_6,
        stddev_samp(log_return) over {{ past(24) }} as std_24,
        stddev_samp(log_return) over {{ past(72) }} as std_72,
        avg(high_low * high_low) over {{ past(24) }} as high_low_squared,
        avg(close_open * close_open) over {{ past(24) }} as close_open_squared,
        avg(rogers_satchell) over {{ past(24) }} as rogers_satchell
    from candles

),

final as (

    select
        candle_id,
        {{ feature('volatility_6', 'std_6') }},
        {{ feature('volatility_24', 'std_24') }},
        {{ feature('volatility_72', 'std_72') }},
        {{ feature('parkinson_24', 'sqrt(high_low_squared / (4 * ln(2)))') }},
        {{ feature(
            'garman_klass_24',
            'sqrt(greatest(0.5 * high_low_squared - (2 * ln(2) - 1) * close_open_squared, 0))'
        ) }},
        {{ feature('rogers_satchell_24', 'sqrt(greatest(rogers_satchell, 0))') }}
    from windows

)

select * from final
