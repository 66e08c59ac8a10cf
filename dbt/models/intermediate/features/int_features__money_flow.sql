with

lists as (

    select * from {{ candle_lists() }}

),

flows as (

    select
        *,
        -- position of the close between low (-1) and high (1), times the volume; 0 for a candle without a range
        vec_multiply(
            vec_divide(vec_subtract(vec_subtract(close, low), vec_subtract(high, close)), vec_subtract(high, low)),
            volume
        ) as accumulated,
        vec_divide(
            vec_multiply(vec_difference(vec_scale(vec_add(high, low), 0.5), 1), vec_subtract(high, low)),
            volume
        ) as movement
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(close) as close,
        unnest(window_mean(volume, 6)) as mean_6,
        unnest(window_mean(volume, 20)) as mean_20,
        unnest(window_mean(volume, 24)) as mean_24,
        unnest(window_mean(accumulated, 20)) as accumulated_20,
        unnest(window_mean(accumulated, 24)) as accumulated_24,
        unnest(vwap(close, volume, 20)) as vwma_20,
        unnest(ta_ema(vec_multiply(vec_difference(close, 1), volume), 13)) as force_13,
        unnest(window_mean(movement, 14)) as movement_14,
        unnest(window_correlation(
            vec_log_return(close, 1), log_volume_change(volume), 24
        )) as price_volume_correlation_24
    from flows

),

final as (

    select
        candle_id,
        {{ feature('accumulation_share_24', 'case when mean_24 > 0 then accumulated_24 / mean_24 else 0 end') }},
        {{ feature('chaikin_money_flow_20', 'case when mean_20 > 0 then accumulated_20 / mean_20 else 0 end') }},
        {{ feature('vwma_20') }},
        {{ feature('close_over_vwma_20', 'close / vwma_20 - 1') }},
        {{ feature('volume_trend_6_24', 'case when mean_24 > 0 then mean_6 / mean_24 - 1 else 0 end') }},
        {{ feature('force_index_13', 'case when mean_24 > 0 then force_13 / (close * mean_24) else 0 end') }},
        {{ feature('ease_of_movement_14', 'movement_14 * mean_24 / (close * close)') }},
        {{ feature('price_volume_correlation_24') }}
    from indicators

)

select * from final
