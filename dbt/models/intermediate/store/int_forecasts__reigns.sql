with

reigns as (

    select * from {{ ref('stg_store__reigns') }}

),

forecasts as (

    select * from {{ ref('int_forecasts__scored') }}
    where scored_at is not null and not late

),

-- forecasts of the baseline have no model, and belong to no reign
attributed as (

    select
        forecasts.*,
        reigns.sequence as reign
    from forecasts
    left join reigns
        on
            forecasts.exchange = reigns.exchange
            and forecasts.symbol = reigns.symbol
            and forecasts.timeframe = reigns.timeframe
            and list_contains(reigns.model_ids, forecasts.model_id)

),

final as (

    select
        exchange,
        symbol,
        timeframe,
        reign,
        count(*) as live_forecasts,
        sqrt(avg(error_pct * error_pct)) as live_error_pct,
        sqrt(avg(baseline_error_pct * baseline_error_pct)) as live_baseline_error_pct,
        1 - live_error_pct / nullif(live_baseline_error_pct, 0) as live_skill,
        avg(covered::integer) as live_coverage,
        avg(direction_hit::integer) as live_hit_rate
    from attributed
    where model_id is null or reign is not null
    group by exchange, symbol, timeframe, reign

)

select * from final
