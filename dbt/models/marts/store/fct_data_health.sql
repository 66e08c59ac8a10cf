with

markets as (

    select * from {{ ref('dim_markets') }}

),

loads as (

    select * from {{ ref('int_markets__loads') }}

),

all_candles as (

    select * from {{ ref('fct_candles') }}

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
        loads.last_load_status,
        loads.last_load_message,
        coalesce(loads.last_run_rows, 0) as last_run_rows,
        coalesce(loads.quarantined_last_run, 0) as quarantined_last_run,
        coalesce(loads.quarantined, 0) as quarantined,
        coalesce(loads.checks_run, 0) as checks_run,
        coalesce(loads.checks_not_applicable, 0) as checks_not_applicable,
        coalesce(loads.checks_failed, 0) as checks_failed,
        loads.exchange_time,
        epoch_ms(loads.exchange_time - candles.last_close_time) / markets.timeframe_ms as lag_candles
    from markets
    left join candles
        on
            markets.exchange = candles.exchange
            and markets.symbol = candles.symbol
            and markets.timeframe = candles.timeframe
    -- loads, quarantine and checks are of the base timeframe
    left join loads
        on
            markets.exchange = loads.exchange
            and markets.symbol = loads.symbol

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
