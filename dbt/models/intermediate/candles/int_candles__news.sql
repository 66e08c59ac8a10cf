with

markets as (

    select * from {{ ref('dim_markets') }}

),

candles as (

    select
        series_id,
        open_time,
        close_time as available_at,
        load_id
    from {{ ref('int_candles__all') }}

),

written as (

    {{ written_features() }}

),

-- a row depends on its own candles, the reference market's of the same time and closed ones of the higher timeframe
dependencies as (

    select
        series_id,
        series_id as source_id
    from markets
    union all
    select
        series_id,
        leader_id as source_id
    from markets
    where leader_id != series_id
    union all
    select
        series_id,
        larger_id as source_id
    from markets
    where larger_id is not null

),

fresh as (

    select * from candles
    where load_id > (
        select min(coalesce(written.seen_load_id, -1))
        from markets
        left join written on markets.series_id = written.series_id
    )

),

outside as (

    select
        markets.series_id,
        -- a candle takes the value known when it opened
        known.available_at + to_milliseconds(markets.timeframe_ms) as available_at,
        known.load_id_so_far as load_id
    from {{ ref('int_outside__known') }} as known
    inner join markets
        on
            known.exchange = markets.exchange
            and known.symbol = markets.symbol
            and known.timeframe = markets.timeframe

),

facts as (

    select
        dependencies.series_id,
        fresh.available_at,
        fresh.load_id
    from dependencies
    inner join fresh on dependencies.source_id = fresh.series_id
    union all
    select * from outside

),

final as (

    select
        facts.series_id,
        -- the earliest availability of anything loaded since the features were written
        min(facts.available_at) as known_from
    from facts
    left join written on facts.series_id = written.series_id
    where facts.load_id > coalesce(written.seen_load_id, -1)
    group by facts.series_id

)

select * from final
