with

lists as (

    select * from {{ candle_lists() }}

),

averaged as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(close) as close,
        unnest(window_mean(close, 6)) as sma_6,
        unnest(window_mean(close, 24)) as sma_24,
        unnest(window_mean(close, 72)) as sma_72,
        unnest(window_mean(close, 168)) as sma_168,
        unnest(ta_ema(close, 12)) as ema_12
    from lists

),

final as (

    select
        candle_id,
        {{ feature('sma_24') }},
        {{ feature('close_over_sma_6', 'close / sma_6 - 1') }},
        {{ feature('close_over_sma_24', 'close / sma_24 - 1') }},
        {{ feature('close_over_sma_72', 'close / sma_72 - 1') }},
        {{ feature('close_over_sma_168', 'close / sma_168 - 1') }},
        {{ feature('close_over_ema_12', 'close / ema_12 - 1') }}
    from averaged

)

select * from final
