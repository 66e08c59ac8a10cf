with

forecasts as (

    select * from {{ ref('stg_store__forecasts') }}

),

latest_scores as (

    select * from {{ ref('stg_store__latest_scores') }}

),

final as (

    select
        forecasts.*,
        latest_scores.actual_open,
        latest_scores.actual_high,
        latest_scores.actual_low,
        latest_scores.actual_close,
        latest_scores.error_pct,
        latest_scores.baseline_error_pct,
        latest_scores.covered,
        latest_scores.direction_hit,
        latest_scores.scored_at
    from forecasts
    left join latest_scores on forecasts.hash = latest_scores.forecast_hash

)

select * from final
