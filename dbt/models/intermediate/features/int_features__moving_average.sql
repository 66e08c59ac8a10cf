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
        unnest(ta_ema(close, 12)) as ema_12,
        unnest(window_linear(close, 20)) as wma_20,
        unnest(
            window_linear(vec_subtract(vec_scale(window_linear(close, 8), 2), window_linear(close, 16)), 4)
        ) as hma_16,
        unnest(window_triangular(close, 20)) as trima_20
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
        {{ feature('close_over_ema_12', 'close / ema_12 - 1') }},
        {{ feature('close_over_wma_20', 'close / wma_20 - 1') }},
        -- twice the fast mean less the slow one is not above 0 in a crash to less than a fifth
        {{ feature('close_over_hma_16', 'case when hma_16 > 0 then close / hma_16 - 1 else 0 end') }},
        {{ feature('close_over_trima_20', 'close / trima_20 - 1') }},
        {{ feature('sma_6_over_sma_24', 'sma_6 / sma_24 - 1') }},
        {{ feature('sma_24_over_sma_168', 'sma_24 / sma_168 - 1') }}
    from averaged

)

select * from final
