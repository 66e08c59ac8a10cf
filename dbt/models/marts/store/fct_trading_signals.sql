with

active as (

    select * from {{ ref('stg_store__active_signals') }}

),

signals as (

    select * from {{ ref('stg_store__signals') }}

),

final as (

    select
        signals.sequence,
        signals.exchange,
        signals.symbol,
        signals.timeframe,
        signals.signal,
        signals.signal_key,
        signals.open_time,
        signals.close_time,
        signals.price,
        signals.score,
        signals.side::bigint as side,
        signals.band,
        signals.signs,
        signals.reason,
        signals.issued_at
    from signals
    inner join active
        on
            signals.exchange = active.exchange
            and signals.symbol = active.symbol
            and signals.timeframe = active.timeframe
            and signals.signal = active.signal
    qualify
        row_number() over (
            partition by signals.exchange, signals.symbol, signals.timeframe, signals.signal, signals.open_time
            order by signals.sequence desc
        ) = 1

)

select * from final
