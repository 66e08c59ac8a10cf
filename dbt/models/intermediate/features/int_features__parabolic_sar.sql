with

lists as (

    select * from {{ candle_lists() }}

),

computed as (

    select
        candle_id,
        run_length,
        close,
        parabolic_sar(candle_id::double[], high, low, 0.02, 0.2) as trend
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
        {{ feature('parabolic_sar', 'level') }},
        {{ feature('close_over_parabolic_sar', 'close / level - 1') }},
        {{ state_feature('parabolic_sar_direction', 'direction') }}
    from indicators

)

select * from final
