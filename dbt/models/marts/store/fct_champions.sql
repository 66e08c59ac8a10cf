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

forecasts as (

    select * from {{ ref('int_forecasts__scored') }}
    where scored_at is not null and not late

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

-- a champion is known by its case; forecasts of the baseline have none
live as (

    select
        markets.exchange,
        markets.symbol,
        markets.timeframe,
        count(forecasts.hash) as live_forecasts,
        sqrt(avg(forecasts.error_pct * forecasts.error_pct)) as live_error_pct,
        sqrt(avg(forecasts.baseline_error_pct * forecasts.baseline_error_pct)) as live_baseline_error_pct,
        avg(forecasts.covered::integer) as live_coverage,
        avg(forecasts.direction_hit::integer) as live_hit_rate
    from markets
    left join champions
        on
            markets.exchange = champions.exchange
            and markets.symbol = champions.symbol
            and markets.timeframe = champions.timeframe
    left join forecasts
        on
            markets.exchange = forecasts.exchange
            and markets.symbol = forecasts.symbol
            and markets.timeframe = forecasts.timeframe
            and coalesce(forecasts.case_key, '') = coalesce(champions.case_key, '')
    group by markets.exchange, markets.symbol, markets.timeframe

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
        coalesce(champions.reason, latest_verdicts.reason, 'no test case has been judged yet') as reason,
        live.live_forecasts,
        live.live_error_pct,
        live.live_baseline_error_pct,
        1 - live.live_error_pct / nullif(live.live_baseline_error_pct, 0) as live_skill,
        live.live_coverage,
        live.live_hit_rate
    from markets
    inner join live
        on
            markets.exchange = live.exchange
            and markets.symbol = live.symbol
            and markets.timeframe = live.timeframe
    left join champions
        on
            markets.exchange = champions.exchange
            and markets.symbol = champions.symbol
            and markets.timeframe = champions.timeframe
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
