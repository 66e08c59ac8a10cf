with

markets as (

    select * from {{ ref('dim_markets') }}

),

candles as (

    select
        markets.series_id,
        candles.open_time,
        candles.available_at,
        candles.load_id
    from {{ ref('fct_candles') }} as candles
    inner join markets
        on
            candles.exchange = markets.exchange
            and candles.symbol = markets.symbol
            and candles.timeframe = markets.timeframe

),

written as (

    {{ written_features() }}

),

-- a row depends on its own candles, on the leader's of the same time and on the next larger timeframe's closed ones
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
        -- a candle shows what was known when it opened
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

news as (

    select
        facts.series_id,
        -- the first moment at which something is known that was not when the features were written
        min(facts.available_at) as known_from
    from facts
    left join written on facts.series_id = written.series_id
    where facts.load_id > coalesce(written.seen_load_id, -1)
    group by facts.series_id

),

spans as (

    select
        series_id,
        min(open_time) as first_open_time,
        max(open_time) as last_open_time
    from candles
    group by series_id

),

tails as (

    select
        markets.*,
        spans.first_open_time,
        spans.last_open_time,
        -- without features, or with another leader or larger timeframe than they were made with: everything
        case
            when
                written.series_id is null
                or coalesce(markets.leader_id, 0) != coalesce(written.leader_id, 0)
                or coalesce(markets.larger_id, 0) != coalesce(written.larger_id, 0)
                then spans.first_open_time
            when news.known_from is not null
                then greatest(news.known_from - to_milliseconds(markets.timeframe_ms), spans.first_open_time)
        end as tail_start
    from markets
    inner join spans on markets.series_id = spans.series_id
    left join news on markets.series_id = news.series_id
    left join written on markets.series_id = written.series_id

),

final as (

    select
        *,
        tail_start = first_open_time as is_whole,
        -- everything is everything that is written, also candles that are there no more
        series_id * 10000000000000
        + case when tail_start = first_open_time then 0 else epoch_ms(tail_start) end as first_new_id,
        -- rows before the tail are read only to warm up; a feature with a gap in its lookback is null anyway, so it is
        -- enough to go back by time
        greatest(tail_start - to_milliseconds({{ warm_up_rows() }} * timeframe_ms), first_open_time) as warm_up_start,
        greatest((select max(load_id) from candles), (select max(load_id) from outside)) as seen_load_id
    from tails
    where tail_start <= last_open_time

)

select * from final
