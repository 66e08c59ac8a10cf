with

candles as (

    select
        *,
        -- a later load without prices withdraws the candle
        (open is null and high is null and low is null and close is null and volume is null) as is_withdrawn
    from {{ ref('stg_exchange__candles') }}

),

sources as (

    select * from {{ ref('stg_exchange__sources') }}

),

-- the candles of a source are used only in combined bars
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
        case when candles.is_withdrawn then 0 else 1 end as n_sources
    from candles
    anti join combined_markets
        on
            candles.exchange = combined_markets.exchange
            and candles.symbol = combined_markets.symbol

),

bars as (

    select
        sources.exchange,
        sources.symbol,
        candles.timeframe,
        candles.open_time,
        -- sorted: the last bit of a sum must not depend on threads (an ordered sum() takes seven times as long)
        list_sum(list_sort(list(candles.open) filter (where not candles.is_withdrawn)))
        / count(*) filter (where not candles.is_withdrawn) as open,
        max(candles.high) as high,
        min(candles.low) as low,
        list_sum(list_sort(list(candles.close) filter (where not candles.is_withdrawn)))
        / count(*) filter (where not candles.is_withdrawn) as close,
        list_sum(list_sort(list(candles.volume) filter (where not candles.is_withdrawn))) as volume,
        -- after a change of the sources every bar counts as new
        greatest(max(candles.load_id), any_value(sources.since_load_id)) as load_id,
        count(*) filter (where not candles.is_withdrawn) as n_sources,
        any_value(sources.minimal_sources) as minimal_sources
    from candles
    inner join sources
        on
            candles.exchange = sources.source_exchange
            and candles.symbol = sources.source_symbol
    group by sources.exchange, sources.symbol, candles.timeframe, candles.open_time

),

-- a bar with too few sources keeps its load, but has no prices
combined as (

    select
        * exclude (minimal_sources) replace (
            case when n_sources >= minimal_sources then open end as open,
            case when n_sources >= minimal_sources then high end as high,
            case when n_sources >= minimal_sources then low end as low,
            case when n_sources >= minimal_sources then close end as close,
            case when n_sources >= minimal_sources then volume end as volume
        )
    from bars

),

final as (

    select * from single
    union all by name
    select * from combined

)

select * from final
