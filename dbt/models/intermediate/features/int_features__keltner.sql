with

lists as (

    select * from {{ candle_lists() }}

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(close) as close,
        unnest(ta_ema(close, 20)) as middle,
        unnest(ta_atr(high, low, close, 10)) as atr,
        unnest(window_mean(close, 20)) as bollinger_middle,
        unnest(window_std(close, 20)) as deviation
    from lists

),

channels as (

    select
        *,
        middle + 2 * atr as upper_band,
        middle - 2 * atr as lower_band,
        -- while prices do not move, the average true range decays but never reaches 0
        atr > 1e-9 * close as moves
    from indicators

),

final as (

    select
        candle_id,
        {{ feature('keltner_upper', 'upper_band') }},
        {{ feature('keltner_lower', 'lower_band') }},
        {{ feature('keltner_position', 'case when moves then (close - lower_band) / (4 * atr) else 0.5 end') }},
        {{ feature('keltner_width', '4 * atr / middle') }},
        {{ feature('close_over_keltner_upper', 'close / upper_band - 1') }},
        -- the lower line is not above 0 when candles span half the price
        {{ feature(
            'close_over_keltner_lower',
            'case when lower_band > 0 then close / lower_band - 1 else 0 end'
        ) }},
        {{ state_feature(
            'keltner_squeeze',
            'moves and bollinger_middle + 2 * deviation < upper_band and bollinger_middle - 2 * deviation > lower_band'
        ) }}
    from channels

)

select * from final
