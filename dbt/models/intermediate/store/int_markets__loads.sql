with

markets as (

    select * from {{ ref('dim_markets') }}

),

loads as (

    select * from {{ ref('stg_exchange__loads') }}

),

-- where a market's loads stand: under its own name, or under those of its sources
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

-- the exchange's clock, not the one of a market: a market whose loads stopped must look stale
clocks as (

    select
        market_sources.exchange,
        max(loads.started_at) as exchange_time
    from market_sources
    inner join loads on market_sources.source_exchange = loads.exchange
    group by market_sources.exchange

),

last_loads as (

    select
        exchange,
        symbol,
        timeframe,
        arg_max(status, load_id) as status,
        arg_max(coalesce(message, ''), load_id) as message
    from loads
    group by exchange, symbol, timeframe

),

market_loads as (

    select
        market_sources.exchange,
        market_sources.symbol,
        -- of several sources the one that failed must be seen
        coalesce(
            min(last_loads.status) filter (where last_loads.status != 'ok'), min(last_loads.status)
        ) as status,
        string_agg(
            case
                when market_sources.source_exchange = market_sources.exchange then last_loads.message
                when last_loads.status != 'ok' then market_sources.source_exchange || ': ' || last_loads.message
            end, '; '
            order by market_sources.source_exchange
        ) as message
    from market_sources
    inner join last_loads
        on
            market_sources.source_exchange = last_loads.exchange
            and market_sources.source_symbol = last_loads.symbol
            and market_sources.base_timeframe = last_loads.timeframe
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
        count(*) as checks_run,
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
        coalesce(quarantined.quarantined, 0) as quarantined,
        coalesce(checked.checks_run, 0) as checks_run,
        coalesce(checked.checks_failed, 0) as checks_failed
    from places
    left join clocks on places.exchange = clocks.exchange
    left join market_loads on places.exchange = market_loads.exchange and places.symbol = market_loads.symbol
    left join quarantined on places.exchange = quarantined.exchange and places.symbol = quarantined.symbol
    left join checked on places.exchange = checked.exchange and places.symbol = checked.symbol

)

select * from final
