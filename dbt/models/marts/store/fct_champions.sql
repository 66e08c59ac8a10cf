with

markets as (

    select * from {{ ref('dim_markets') }}

),

champions as (

    select * from {{ ref('int_verdicts__champions') }}

),

verdicts as (

    select * from {{ ref('stg_store__verdicts') }}

),

results as (

    select * from {{ ref('fct_results') }}

),

latest_verdicts as (

    select *
    from verdicts
    qualify row_number() over (partition by {{ series() }} order by sequence desc) = 1

),

trials as (

    select
        exchange,
        symbol,
        timeframe,
        count(distinct case_key) as n_trials
    from results
    group by exchange, symbol, timeframe

),

-- for a series without a champion, the results of the baseline
live as (

    select * from {{ ref('int_forecasts__reigns') }}

),

last_reigns as (

    select *
    from {{ ref('stg_store__reigns') }}
    qualify row_number() over (partition by {{ series() }} order by sequence desc) = 1

),

clocks as (

    select * from {{ ref('int_markets__loads') }}

),

final as (

    select
        markets.exchange,
        markets.symbol,
        markets.timeframe,
        coalesce(champions.model, 'baseline') as model,
        champions.case_key,
        champions.model_id,
        champions.sequence is null as is_baseline,
        champions.decided_at as promoted_at,
        champions.skill,
        champions.skill_mean_range,
        champions.rmse_pct,
        champions.holdout_skill,
        champions.holdout_rmse_pct,
        champions.holdout_band_coverage,
        champions.holdout_openings,
        champions.p_value,
        coalesce(champions.n_trials, trials.n_trials, 0) as n_trials,
        coalesce(champions.baseline, latest_verdicts.baseline) as baseline,
        case
            when champions.sequence is not null then champions.reason
            when last_reigns.ended_by = 'retired' then last_reigns.end_reason
            else coalesce(latest_verdicts.reason, 'no test case has been evaluated yet')
        end as reason,
        coalesce(live.live_forecasts, 0) as live_forecasts,
        live.live_error_pct,
        live.live_baseline_error_pct,
        live.live_skill,
        live.live_coverage,
        live.live_hit_rate,
        champions.trained_through,
        epoch(clocks.exchange_time - champions.decided_at) / 86400 as age_days,
        -- also of a retired champion: its review explains why the baseline serves
        last_reigns.reviewed_at,
        last_reigns.review_skill,
        case
            when champions.sequence is not null then 'champion'
            when last_reigns.ended_by = 'retired' then 'retired'
            else 'baseline'
        end as state
    from markets
    left join champions
        on
            markets.exchange = champions.exchange
            and markets.symbol = champions.symbol
            and markets.timeframe = champions.timeframe
    left join live
        on
            markets.exchange = live.exchange
            and markets.symbol = live.symbol
            and markets.timeframe = live.timeframe
            and champions.sequence is not distinct from live.reign
    left join last_reigns
        on
            markets.exchange = last_reigns.exchange
            and markets.symbol = last_reigns.symbol
            and markets.timeframe = last_reigns.timeframe
    left join clocks on markets.exchange = clocks.exchange and markets.symbol = clocks.symbol
    left join latest_verdicts
        on
            markets.exchange = latest_verdicts.exchange
            and markets.symbol = latest_verdicts.symbol
            and markets.timeframe = latest_verdicts.timeframe
    left join trials
        on
            markets.exchange = trials.exchange
            and markets.symbol = trials.symbol
            and markets.timeframe = trials.timeframe

)

select * from final
