with

active as (

    select * from {{ ref('stg_store__active_signals') }}

),

trading_equity as (

    select * from {{ ref('stg_store__trading_equity') }}

),

final as (

    select
        trading_equity.exchange,
        trading_equity.symbol,
        trading_equity.timeframe,
        trading_equity.signal,
        trading_equity.part,
        trading_equity.time,
        trading_equity.gross,
        trading_equity.equity,
        trading_equity.holding,
        trading_equity.score,
        trading_equity.side
    from trading_equity
    inner join active
        on
            trading_equity.exchange = active.exchange
            and trading_equity.symbol = active.symbol
            and trading_equity.timeframe = active.timeframe
            and trading_equity.signal = active.signal

)

select * from final
