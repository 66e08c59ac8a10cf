with

results as (

    select * from {{ ref('fct_results') }}

),

-- a case tested on several data sets is one trial: its first test
trials as (

    select
        * replace (
            case when is_ranked and is_trusted then rmse_pct end as rmse_pct,
            case when is_ranked and is_trusted then skill end as skill
        )
    from results
    qualify
        row_number() over (
            partition by {{ series() }}, case_key
            order by status != 'tested', arrival
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
            order by arrival
            rows between unbounded preceding and current row
        )

)

select * from final
