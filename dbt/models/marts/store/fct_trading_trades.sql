with

active as (

    select * from {{ ref('stg_store__active_signals') }}

),

trading_trades as (

    select * from {{ ref('stg_store__trading_trades') }}

),

final as (

    select
        trading_trades.exchange,
        trading_trades.symbol,
        trading_trades.timeframe,
        trading_trades.signal,
        trading_trades.part,
        trading_trades.number,
        trading_trades.side,
        trading_trades.entry_time,
        trading_trades.exit_time,
        trading_trades.entry_price,
        trading_trades.exit_price,
        trading_trades.quantity,
        trading_trades.fees,
        trading_trades.slippage,
        trading_trades.pnl,
        trading_trades.return_pct,
        trading_trades.balance,
        trading_trades.exit_turnover,
        trading_trades.entry_reason,
        trading_trades.exit_reason,
        trading_trades.entry_score
    from trading_trades
    inner join active
        on
            trading_trades.exchange = active.exchange
            and trading_trades.symbol = active.symbol
            and trading_trades.timeframe = active.timeframe
            and trading_trades.signal = active.signal

)

select * from final
