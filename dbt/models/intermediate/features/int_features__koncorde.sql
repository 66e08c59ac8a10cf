with

lists as (

    select * from {{ candle_lists() }}

),

trends as (

    select
        *,
        koncorde_trend(open, high, low, close, volume) as trend
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(volume_index_oscillator(close, volume, -1, 15, 90)) as falling_volume,
        unnest(volume_index_oscillator(close, volume, 1, 15, 90)) as rising_volume,
        unnest(trend) as trend,
        unnest(ta_ema(trend, 15)) as mean_trend
    from trends

),

final as (

    select
        candle_id,
        {{ feature('koncorde_blue', 'falling_volume') }},
        {{ feature('koncorde_green', 'trend + rising_volume') }},
        {{ feature('koncorde_brown', 'trend') }},
        {{ feature('koncorde_mean', 'mean_trend') }}
    from indicators

)

select * from final
