with

markets as (

    select * from {{ ref('dim_markets') }}

),

loads as (

    select * from {{ ref('stg_exchange__loads') }}

),

-- a market's loads are recorded under its own name, or under those of its sources
market_sources as (

    select distinct
        markets.exchange,
        markets.symbol,
        markets.base_timeframe,
        coalesce(sources.source_exchange, markets.exchange) as source_exchange,
        coalesce(sources.source_symbol, markets.symbol) as source_symbol
    from markets
    left join {{ ref('stg_exchange__sources') }} as sources
        on
            markets.exchange = sources.exchange
            and markets.symbol = sources.symbol

),

-- the clock of the exchange, not of the market: a market whose loads stopped must look stale
clocks as (

    select
        market_sources.exchange,
        max(loads.started_at) as exchange_time
    from market_sources
    inner join loads on market_sources.source_exchange = loads.exchange
    group by market_sources.exchange

),

-- a run over a long history is stored as several loads; each load of an old version is its own run
runs as (

    select
        exchange,
        symbol,
        timeframe,
        coalesce(run_id, load_id) as run_id,
        max(load_id) as load_id,
        -- the last unsuccessful load gives the status of the run
        arg_max(status, (status != 'ok', load_id)) as status,
        arg_max(coalesce(message, ''), (status != 'ok', load_id)) as message,
        coalesce(sum(rows_received), 0)::bigint as rows_received,
        coalesce(sum(rows_quarantined), 0)::bigint as rows_quarantined
    from loads
    group by exchange, symbol, timeframe, coalesce(run_id, load_id)

),

last_runs as (

    select *
    from runs
    qualify load_id = max(load_id) over (partition by exchange, symbol, timeframe)

),

market_loads as (

    select
        market_sources.exchange,
        market_sources.symbol,
        -- of several sources, the worst status is shown
        arg_max(
            last_runs.status, coalesce(list_position(['ok', 'partial', 'stopped', 'failed'], last_runs.status), 0)
        ) as status,
        string_agg(
            case
                when market_sources.source_exchange = market_sources.exchange then last_runs.message
                when last_runs.status != 'ok' then market_sources.source_exchange || ': ' || last_runs.message
            end, '; '
            order by market_sources.source_exchange
        ) as message,
        sum(last_runs.rows_received)::bigint as last_run_rows,
        sum(last_runs.rows_quarantined)::bigint as quarantined_last_run
    from market_sources
    inner join last_runs
        on
            market_sources.source_exchange = last_runs.exchange
            and market_sources.source_symbol = last_runs.symbol
            and market_sources.base_timeframe = last_runs.timeframe
    group by market_sources.exchange, market_sources.symbol

),

quarantined as (

    select
        market_sources.exchange,
        market_sources.symbol,
        count(*) as quarantined
    from market_sources
    inner join {{ ref('stg_exchange__quarantine') }} as quarantine
        on
            market_sources.source_exchange = quarantine.exchange
            and market_sources.source_symbol = quarantine.symbol
            and market_sources.base_timeframe = quarantine.timeframe
    group by market_sources.exchange, market_sources.symbol

),

checked as (

    select
        market_sources.exchange,
        market_sources.symbol,
        -- a rule that saw no row neither passed nor failed
        count(*) filter (where quality_checks.rows_checked is distinct from 0) as checks_run,
        count(*) filter (where quality_checks.rows_checked = 0) as checks_not_applicable,
        count(*) filter (where not quality_checks.success) as checks_failed
    from market_sources
    inner join {{ ref('fct_quality_checks') }} as quality_checks
        on
            market_sources.source_exchange = quality_checks.exchange
            and market_sources.source_symbol = quality_checks.symbol
            and market_sources.base_timeframe = quality_checks.timeframe
    group by market_sources.exchange, market_sources.symbol

),

places as (

    select distinct
        exchange,
        symbol
    from market_sources

),

final as (

    select
        places.exchange,
        places.symbol,
        clocks.exchange_time,
        market_loads.status as last_load_status,
        case when market_loads.status is not null then coalesce(market_loads.message, '') end as last_load_message,
        coalesce(market_loads.last_run_rows, 0) as last_run_rows,
        coalesce(market_loads.quarantined_last_run, 0) as quarantined_last_run,
        coalesce(quarantined.quarantined, 0) as quarantined,
        coalesce(checked.checks_run, 0) as checks_run,
        coalesce(checked.checks_not_applicable, 0) as checks_not_applicable,
        coalesce(checked.checks_failed, 0) as checks_failed
    from places
    left join clocks on places.exchange = clocks.exchange
    left join market_loads on places.exchange = market_loads.exchange and places.symbol = market_loads.symbol
    left join quarantined on places.exchange = quarantined.exchange and places.symbol = quarantined.symbol
    left join checked on places.exchange = checked.exchange and places.symbol = checked.symbol

)

select * from final
