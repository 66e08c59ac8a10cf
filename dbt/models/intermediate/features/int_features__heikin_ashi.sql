with

lists as (

    select * from {{ candle_lists() }}

),

computed as (

    select
        candle_id,
        run_length,
        high,
        low,
        close,
        heikin_ashi(open, high, low, close, 10) as means
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(high) as high,
        unnest(low) as low,
        unnest(close) as close,
        unnest(means.ha_open) as ha_open,
        unnest(means.ha_close) as ha_close,
        unnest(means.streak) as streak
    from computed

),

final as (

    select
        candle_id,
        {{ feature('heikin_ashi_open', 'ha_open') }},
        {{ feature('heikin_ashi_close', 'ha_close') }},
        {{ feature('heikin_ashi_body', '(ha_close - ha_open) / close') }},
        {{ feature(
            'heikin_ashi_upper_shadow',
            '(greatest(high, ha_open, ha_close) - greatest(ha_open, ha_close)) / close'
        ) }},
        {{ feature('heikin_ashi_lower_shadow', '(least(ha_open, ha_close) - least(low, ha_open, ha_close)) / close') }},
        {{ feature('heikin_ashi_streak', 'streak') }}
    from indicators

)

select * from final
