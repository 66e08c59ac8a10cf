with

lists as (

    select * from {{ candle_lists() }}

),

smoothed as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(close) as close,
        unnest(ta_ema(close, 12)) as ema_12,
        unnest(ta_ema(close, 26)) as ema_26,
        unnest(ta_ema(close, 50)) as ema_50,
        unnest(ta_ema(close, 200)) as ema_200,
        unnest(ta_dema(close, 20)) as dema_20,
        unnest(ta_tema(close, 20)) as tema_20,
        unnest(ta_t3(close, 8, 0.7)) as t3_8
    from lists

),

final as (

    select
        candle_id,
        {{ feature('ema_12') }},
        {{ feature('ema_26') }},
        {{ feature('ema_200') }},
        {{ feature('close_over_ema_26', 'close / ema_26 - 1') }},
        {{ feature('close_over_ema_50', 'close / ema_50 - 1') }},
        {{ feature('close_over_ema_200', 'close / ema_200 - 1') }},
        {{ feature('ema_12_over_ema_26', 'ema_12 / ema_26 - 1') }},
        -- means with less lag overshoot: after a crash they may not be above 0
        {{ feature('close_over_dema_20', 'case when dema_20 > 0 then close / dema_20 - 1 else 0 end') }},
        {{ feature('close_over_tema_20', 'case when tema_20 > 0 then close / tema_20 - 1 else 0 end') }},
        {{ feature('close_over_t3_8', 'case when t3_8 > 0 then close / t3_8 - 1 else 0 end') }}
    from smoothed

)

select * from final
