with

markets as (

    select * from {{ ref('dim_markets') }}

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

-- the exchange's clock, not the one of a market: a market whose loads stopped must look stale
clocks as (

    select
        exchange,
        max(started_at) as exchange_time
    from loads
    group by exchange

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

quarantined as (

    select
        exchange,
        symbol,
        timeframe,
        count(*) as quarantined
    from quarantine
    group by exchange, symbol, timeframe

),

checked as (

    select
        exchange,
        symbol,
        timeframe,
        count(*) as checks_run,
        count(*) filter (where not success) as checks_failed
    from quality_checks
    group by exchange, symbol, timeframe

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
        last_loads.status as last_load_status,
        last_loads.message as last_load_message,
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
    left join last_loads
        on
            markets.exchange = last_loads.exchange
            and markets.symbol = last_loads.symbol
            and markets.base_timeframe = last_loads.timeframe
    left join quarantined
        on
            markets.exchange = quarantined.exchange
            and markets.symbol = quarantined.symbol
            and markets.base_timeframe = quarantined.timeframe
    left join checked
        on
            markets.exchange = checked.exchange
            and markets.symbol = checked.symbol
            and markets.base_timeframe = checked.timeframe
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
