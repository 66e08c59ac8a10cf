with

lists as (

    select * from {{ candle_lists() }}

),

computed as (

    select
        candle_id,
        run_length,
        close,
        optimised_trend(candle_id::double[], close, 2, 1.4, 9) as trend
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
        {{ feature('optimised_trend', 'level') }},
        {{ feature('close_over_optimised_trend', 'close / level - 1') }},
        {{ state_feature('optimised_trend_direction', 'direction') }}
    from indicators

)

select * from final
