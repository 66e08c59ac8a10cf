with

results as (

    select * from {{ ref('fct_results') }}

),

-- machines with a failed verification
marked as (

    select * from {{ ref('stg_store__marked_machines') }}

),

-- errors of other targets and of many fits are not ranked, and those of a marked machine are not trusted
evaluated as (

    select
        *,
        target = 'next_candle'
        and not is_walk_forward
        and coalesce(machine, '') not in (select marked.machine from marked) as is_ranked
    from results

),

-- a case tested on several data sets is one trial: its first test
trials as (

    select
        * replace (
            case when is_ranked then rmse_pct end as rmse_pct,
            case when is_ranked then skill end as skill
        )
    from evaluated
    qualify
        row_number() over (
            partition by {{ series() }}, case_key
            order by status != 'tested', finished_at, dataset_id
        ) = 1

),

final as (

    select
        exchange,
        symbol,
        timeframe,
        row_number() over so_far as trial,
        finished_at,
        case_key,
        model,
        rmse_pct,
        skill,
        min(rmse_pct) over so_far as best_rmse_pct,
        max(skill) over so_far as best_skill
    from trials
    window
        so_far as (
            partition by {{ series() }}
            order by finished_at, case_key
            rows between unbounded preceding and current row
        )

)

select * from final
