with

lists as (

    select * from {{ candle_lists() }}

),

computed as (

    select
        candle_id,
        run_length,
        schaff_trend_cycle(close, 23, 50, 10, 0.5) as cycle
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(cycle) as schaff_trend_cycle,
        unnest(vec_difference(cycle, 1)) as schaff_trend_cycle_change
    from computed

),

final as (

    select
        candle_id,
        {{ feature('schaff_trend_cycle') }},
        {{ feature('schaff_trend_cycle_change') }}
    from indicators

)

select * from final
