with

reigns as (

    select * from {{ ref('stg_store__reigns') }}

),

verdicts as (

    select * from {{ ref('stg_store__verdicts') }}

),

live as (

    select * from {{ ref('int_forecasts__reigns') }}

),

final as (

    select
        reigns.exchange,
        reigns.symbol,
        reigns.timeframe,
        reigns.sequence,
        verdicts.model,
        verdicts.case_key,
        reigns.model_id,
        reigns.promoted_at,
        reigns.ended_at,
        reigns.ended_by,
        verdicts.n_trials,
        verdicts.p_value,
        verdicts.baseline,
        verdicts.skill,
        verdicts.rmse_pct,
        verdicts.holdout_skill,
        verdicts.holdout_rows,
        coalesce(live.live_forecasts, 0) as live_forecasts,
        live.live_error_pct,
        live.live_baseline_error_pct,
        live.live_skill,
        reigns.is_current
    from reigns
    inner join verdicts on reigns.sequence = verdicts.sequence
    left join live on reigns.sequence = live.reign

)

select * from final
