with

forecasts as (

    select * from {{ ref('stg_store__forecasts') }}

),

scores as (

    select * from {{ ref('stg_store__scores') }}

),

-- a forecast is scored again when the exchange revises its candle: the last score counts
latest_scores as (

    select *
    from scores
    qualify row_number() over (partition by forecast_hash order by sequence desc) = 1

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
