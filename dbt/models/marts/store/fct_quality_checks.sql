with

checks as (

    select
        *,
        -- the checks of old versions have no run: each load was its own
        coalesce(run_id, load_id) as run
    from {{ ref('stg_exchange__quality_checks') }}

),

ever as (

    select
        exchange,
        symbol,
        timeframe,
        rule,
        sum(rows_checked)::bigint as rows_checked_ever,
        sum(rows_failed)::bigint as rows_failed_ever
    from checks
    group by exchange, symbol, timeframe, rule

),

newest as (

    select *
    from checks
    -- a load belongs to one run, so this is the whole run of the newest checked load
    qualify run = arg_max(run, load_id) over (partition by {{ series() }})

),

last_runs as (

    select
        exchange,
        symbol,
        timeframe,
        rule,
        max(load_id) as load_id,
        max(checked_at) as checked_at,
        arg_max(severity, load_id) as severity,
        bool_and(success) as success,
        sum(rows_checked)::bigint as rows_checked,
        sum(rows_failed)::bigint as rows_failed,
        -- the findings; of a rule that passed, why it could not be checked
        coalesce(
            string_agg(distinct detail, '; ' order by detail) filter (where not success and detail != ''),
            string_agg(distinct detail, '; ' order by detail) filter (where detail != ''),
            ''
        ) as detail,
        max(run) as run_id
    from newest
    group by exchange, symbol, timeframe, rule

),

final as (

    select
        last_runs.load_id,
        last_runs.exchange,
        last_runs.symbol,
        last_runs.timeframe,
        last_runs.checked_at,
        last_runs.rule,
        last_runs.severity,
        last_runs.success,
        last_runs.rows_checked,
        last_runs.rows_failed,
        last_runs.detail,
        last_runs.run_id,
        ever.rows_checked_ever,
        ever.rows_failed_ever
    from last_runs
    inner join ever
        on
            last_runs.exchange = ever.exchange
            and last_runs.symbol = ever.symbol
            and last_runs.timeframe = ever.timeframe
            and last_runs.rule = ever.rule

)

select * from final
