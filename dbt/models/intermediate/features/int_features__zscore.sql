with

lists as (

    select * from {{ candle_lists() }}

),

computed as (

    select
        candle_id,
        run_length,
        close,
        vec_log_return(close, 1) as log_return,
        list_transform(volume, lambda v: ln(1 + v)) as volume_log,
        vec_log(vec_divide(high, low)) as log_range
    from lists

),

windows as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(close) as close,
        unnest(log_return) as log_return,
        unnest(volume_log) as volume_log,
        unnest(log_range) as log_range,
        unnest(window_mean(close, 24)) as mean_24,
        unnest(window_std(close, 24)) as deviation_24,
        unnest(window_mean(close, 72)) as mean_72,
        unnest(window_std(close, 72)) as deviation_72,
        unnest(window_mean(close, 168)) as mean_168,
        unnest(window_std(close, 168)) as deviation_168,
        unnest(window_mean(log_return, 24)) as return_mean,
        unnest(window_std(log_return, 24)) as return_deviation,
        unnest(window_mean(volume_log, 72)) as volume_mean,
        unnest(window_std(volume_log, 72)) as volume_deviation,
        unnest(window_mean(log_range, 24)) as range_mean,
        unnest(window_std(log_range, 24)) as range_deviation
    from computed

),

final as (

    select
        candle_id,
        {{ feature(
            'close_zscore_24',
            'case when deviation_24 > 0 then (close - mean_24) / deviation_24 else 0 end'
        ) }},
        {{ feature(
            'close_zscore_72',
            'case when deviation_72 > 0 then (close - mean_72) / deviation_72 else 0 end'
        ) }},
        {{ feature(
            'close_zscore_168',
            'case when deviation_168 > 0 then (close - mean_168) / deviation_168 else 0 end'
        ) }},
        -- logarithms that differ by less than 1e-12 differ by rounding
        {{ feature(
            'return_zscore_24',
            'case when return_deviation > 1e-12 then (log_return - return_mean) / return_deviation else 0 end'
        ) }},
        {{ feature(
            'volume_log_zscore_72',
            'case when volume_deviation > 0 then (volume_log - volume_mean) / volume_deviation else 0 end'
        ) }},
        {{ feature(
            'range_zscore_24',
            'case when range_deviation > 1e-12 then (log_range - range_mean) / range_deviation else 0 end'
        ) }}
    from windows

)

select * from final
