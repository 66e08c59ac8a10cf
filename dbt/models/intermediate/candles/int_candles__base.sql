with

candles as (

    select * from {{ ref('stg_exchange__candles') }}

),

sources as (

    select * from {{ ref('stg_exchange__sources') }}

),

-- a source's candles are there only as a part of their bars
combined_markets as (

    select
        exchange,
        symbol
    from sources
    union
    select
        source_exchange,
        source_symbol
    from sources

),

single as (

    select
        candles.exchange,
        candles.symbol,
        candles.timeframe,
        candles.open_time,
        candles.open,
        candles.high,
        candles.low,
        candles.close,
        candles.volume,
        candles.load_id,
        1 as n_sources
    from candles
    anti join combined_markets
        on
            candles.exchange = combined_markets.exchange
            and candles.symbol = combined_markets.symbol

),

combined as (

    select
        sources.exchange,
        sources.symbol,
        candles.timeframe,
        candles.open_time,
        -- sorted: the last bit of a sum must not depend on threads (an ordered sum() takes seven times as long)
        list_sum(list_sort(list(candles.open))) / count(*) as open,
        max(candles.high) as high,
        min(candles.low) as low,
        list_sum(list_sort(list(candles.close))) / count(*) as close,
        list_sum(list_sort(list(candles.volume))) as volume,
        -- after a change of the sources every bar is a new one
        greatest(max(candles.load_id), any_value(sources.since_load_id)) as load_id,
        count(*) as n_sources
    from candles
    inner join sources
        on
            candles.exchange = sources.source_exchange
            and candles.symbol = sources.source_symbol
    group by sources.exchange, sources.symbol, candles.timeframe, candles.open_time
    having count(*) >= any_value(sources.minimal_sources)

),

final as (

    select * from single
    union all by name
    select * from combined

)

select * from final
