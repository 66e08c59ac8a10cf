with

lists as (

    select * from {{ candle_lists() }}

),

computed as (

    select
        candle_id,
        run_length,
        close,
        supertrend(candle_id::double[], high, low, close, 10, 3) as trend
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(close) as close,
        unnest(trend.level) as level,
        unnest(trend.direction) as direction
    from computed

),

final as (

    select
        candle_id,
        {{ feature('supertrend_10_3', 'level') }},
        {{ feature('close_over_supertrend_10_3', 'close / level - 1') }},
        {{ state_feature('supertrend_direction_10_3', 'direction') }}
    from indicators

)

select * from final
