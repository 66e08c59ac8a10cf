with

markets as (

    select * from {{ ref('dim_markets') }}

),

sources as (

    select * from {{ ref('stg_exchange__sources') }}

),

all_candles as (

    select * from {{ ref('fct_candles') }}

),

loads as (

    select * from {{ ref('stg_exchange__loads') }}

),

quarantine as (

    select * from {{ ref('stg_exchange__quarantine') }}

),

quality_checks as (

    select * from {{ ref('fct_quality_checks') }}

),

candles as (

    select
        exchange,
        symbol,
        timeframe,
        count(*) filter (where not is_gap) as candles,
        count(*) filter (where is_gap) as gaps,
        min(open_time) as first_open_time,
        max(open_time) as last_open_time,
        max(close_time) as last_close_time
    from all_candles
    group by exchange, symbol, timeframe

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
    left join sources
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
    inner join quarantine
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
    inner join quality_checks
        on
            market_sources.source_exchange = quality_checks.exchange
            and market_sources.source_symbol = quality_checks.symbol
            and market_sources.base_timeframe = quality_checks.timeframe
    group by market_sources.exchange, market_sources.symbol

),

joined as (

    select
        markets.exchange,
        markets.symbol,
        markets.timeframe,
        coalesce(candles.candles, 0) as candles,
        coalesce(candles.gaps, 0) as gaps,
        candles.first_open_time,
        candles.last_open_time,
        candles.last_close_time,
        market_loads.status as last_load_status,
        case when market_loads.status is not null then coalesce(market_loads.message, '') end as last_load_message,
        coalesce(quarantined.quarantined, 0) as quarantined,
        coalesce(checked.checks_run, 0) as checks_run,
        coalesce(checked.checks_failed, 0) as checks_failed,
        clocks.exchange_time,
        epoch_ms(clocks.exchange_time - candles.last_close_time) / markets.timeframe_ms as lag_candles
    from markets
    left join candles
        on
            markets.exchange = candles.exchange
            and markets.symbol = candles.symbol
            and markets.timeframe = candles.timeframe
    -- loads, quarantine and checks are of the base timeframe
    left join market_loads
        on
            markets.exchange = market_loads.exchange
            and markets.symbol = market_loads.symbol
    left join quarantined
        on
            markets.exchange = quarantined.exchange
            and markets.symbol = quarantined.symbol
    left join checked
        on
            markets.exchange = checked.exchange
            and markets.symbol = checked.symbol
    left join clocks on markets.exchange = clocks.exchange

),

final as (

    select
        *,
        case
            when candles = 0 then 'empty'
            when lag_candles < 2 then 'fresh'
            else 'stale'
        end as freshness
    from joined

)

select * from final
