with

all_results as (

    select * from {{ ref('fct_results') }}

),

results as (

    select * from all_results
    where is_ranked and is_trusted

),

significance as (

    select * from {{ ref('stg_store__significance') }}

),

champions as (

    select * from {{ ref('int_verdicts__champions') }}

),

verdicts as (

    select * from {{ ref('stg_store__verdicts') }}

),

-- failed cases are trials as well: the first rank of a thousand trials is mostly luck
trials as (

    select
        exchange,
        symbol,
        timeframe,
        count(distinct case_key) as n_trials
    from all_results
    group by exchange, symbol, timeframe

),

newest_datasets as (

    select
        exchange,
        symbol,
        timeframe,
        arg_max(dataset_id, arrival) as dataset_id
    from results
    group by exchange, symbol, timeframe

),

holdouts as (

    select
        case_key,
        dataset_id,
        arg_max(holdout_skill, sequence) as holdout_skill
    from verdicts
    where holdout_opened
    group by case_key, dataset_id

),

-- cases that differ only in their seeds are ranked by their mean, else the luckiest seed would lead
seed_mates as (

    select
        exchange,
        symbol,
        timeframe,
        dataset_id,
        contender_key,
        min(case_key) as first_key,
        avg(skill) as mean_skill,
        avg(rmse_pct) as mean_rmse_pct
    from results
    group by exchange, symbol, timeframe, dataset_id, contender_key

),

final as (

    select
        results.exchange,
        results.symbol,
        results.timeframe,
        row_number() over (
            partition by results.exchange, results.symbol, results.timeframe
            order by
                seed_mates.mean_skill desc nulls last,
                seed_mates.mean_rmse_pct asc nulls last,
                seed_mates.first_key asc,
                results.case_key asc
        ) as rank,
        results.case_key,
        results.dataset_id,
        results.model,
        results.model_family,
        results.feature_set,
        results.n_features,
        results.lags,
        results.rmse_pct,
        results.rmse_quote,
        results.rmse_high_pct,
        results.rmse_low_pct,
        results.rmse_close_pct,
        results.mae_pct,
        results.baseline,
        results.baseline_rmse_pct,
        results.skill,
        significance.skill_lower,
        significance.skill_upper,
        results.skill_mean_range,
        results.skill_har_range,
        results.skill_last_candle,
        results.skill_high,
        results.skill_low,
        results.skill_close,
        results.skill_seed_std,
        results.pinball_pct,
        results.winkler_pct,
        results.band_coverage,
        results.direction_accuracy,
        results.direction_se,
        results.direction_net_pct,
        holdouts.holdout_skill,
        trials.n_trials,
        significance.spa_p_value,
        significance.is_finalist,
        significance.in_confidence_set,
        results.n_validation,
        results.fit_seconds,
        results.worker,
        results.finished_at,
        results.case_json,
        coalesce(results.case_key = champions.case_key, false) as is_champion
    from results
    inner join newest_datasets
        on
            results.exchange = newest_datasets.exchange
            and results.symbol = newest_datasets.symbol
            and results.timeframe = newest_datasets.timeframe
            and results.dataset_id = newest_datasets.dataset_id
    inner join seed_mates
        on
            results.exchange = seed_mates.exchange
            and results.symbol = seed_mates.symbol
            and results.timeframe = seed_mates.timeframe
            and results.dataset_id = seed_mates.dataset_id
            and results.contender_key = seed_mates.contender_key
    left join significance
        on
            results.case_key = significance.case_key
            and results.dataset_id = significance.dataset_id
    left join trials
        on
            results.exchange = trials.exchange
            and results.symbol = trials.symbol
            and results.timeframe = trials.timeframe
    left join champions
        on
            results.exchange = champions.exchange
            and results.symbol = champions.symbol
            and results.timeframe = champions.timeframe
    left join holdouts
        on
            results.case_key = holdouts.case_key
            and results.dataset_id = holdouts.dataset_id

)

select * from final
