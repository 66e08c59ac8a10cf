with

source as (

    select * from {{ source('raw', 'results') }}

),

final as (

    -- without the losses: they are large, and only the promotion gate reads them
    select
        case_key,
        dataset_id,
        exchange,
        symbol,
        timeframe,
        model,
        model_family,
        feature_set,
        n_features,
        lags,
        case_json,
        coalesce(json_extract_string(case_json, '$.target'), 'next_candle') as target,
        json_extract_string(case_json, '$.walk_forward') is not null as is_walk_forward,
        is_ranked,
        contender_key,
        status,
        error,
        worker,
        machine,
        started_at,
        finished_at,
        fit_seconds,
        peak_memory_mb,
        code_version,
        {{ finite('rmse_pct') }},
        {{ finite('rmse_quote') }},
        {{ finite('mae_pct') }},
        {{ finite('rmse_high_pct') }},
        {{ finite('rmse_low_pct') }},
        {{ finite('rmse_close_pct') }},
        {{ finite('rmse_weighted_pct') }},
        {{ finite('pinball_pct') }},
        {{ finite('band_coverage') }},
        {{ finite('direction_accuracy') }},
        {{ finite('direction_se') }},
        baseline,
        {{ finite('baseline_rmse_pct') }},
        {{ finite('skill') }},
        {{ finite('skill_mean_range') }},
        {{ finite('skill_last_candle') }},
        {{ finite('skill_high') }},
        {{ finite('skill_low') }},
        {{ finite('skill_close') }},
        {{ finite('skill_seed_std') }},
        {{ finite('log_loss') }},
        {{ finite('baseline_log_loss') }},
        {{ finite('auc') }},
        {{ finite('average_precision') }},
        {{ finite('f1') }},
        {{ finite('percent_correct') }},
        {{ finite('baseline_percent_correct') }},
        {{ finite('skill_correct') }},
        n_train,
        n_validation,
        train_start,
        train_end,
        validation_start,
        validation_end,
        seed_metrics,
        label_metrics,
        window_metrics,
        lineage,
        result_file
    from source

)

select * from final
