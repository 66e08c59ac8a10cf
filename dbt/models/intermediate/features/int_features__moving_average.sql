with

candles as (

    select * from {{ ref('int_candles__window') }}

),

lists as (

    select * from {{ ref('int_candles__lists') }}

),

smoothed as (

    select
        unnest(candle_id) as candle_id,
        unnest(ta_ema(close, 12)) as ema_12
    from lists

),

averaged as (

    select
        candle_id,
        run_length,
        close,
        avg(close) over {{ past(6) }} as sma_6,
        avg(close) over {{ past(24) }} as sma_24,
        avg(close) over {{ past(72) }} as sma_72,
        avg(close) over {{ past(168) }} as sma_168
    from candles

),

final as (

    select
        averaged.candle_id,
        {{ feature('close_over_sma_6', 'close / sma_6 - 1') }},
        {{ feature('close_over_sma_24', 'close / sma_24 - 1') }},
        {{ feature('close_over_sma_72', 'close / sma_72 - 1') }},
        {{ feature('close_over_sma_168', 'close / sma_168 - 1') }},
        {{ feature('close_over_ema_12', 'close / ema_12 - 1') }}
    from averaged
    inner join smoothed on averaged.candle_id = smoothed.candle_id

)

select * from final
