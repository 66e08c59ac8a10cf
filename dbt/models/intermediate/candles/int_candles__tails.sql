with

markets as (

    select * from {{ ref('dim_markets') }}

),

candles as (

    select
        series_id,
        open_time,
        is_outside,
        load_id
    from {{ ref('int_candles__all') }}

),

written as (

    {{ written_features() }}

),

news as (

    select * from {{ ref('int_candles__news') }}

),

spans as (

    select
        series_id,
        min(open_time) as first_open_time,
        max(open_time) as last_open_time
    from candles
    where not is_outside
    group by series_id

),

tails as (

    select
        markets.*,
        spans.first_open_time,
        spans.last_open_time,
        written.last_candle_id,
        -- no features yet, or made with another base, reference market or higher timeframe: full rebuild
        written.series_id is null
        or spans.series_id is null
        or markets.base_ms != written.base_ms
        or coalesce(markets.leader_id, 0) != coalesce(written.leader_id, 0)
        or coalesce(markets.larger_id, 0) != coalesce(written.larger_id, 0) as is_made_anew,
        case
            when is_made_anew then spans.first_open_time
            when news.known_from is not null
                then greatest(news.known_from - to_milliseconds(markets.timeframe_ms), spans.first_open_time)
        end as tail_start
    from markets
    left join spans on markets.series_id = spans.series_id
    left join news on markets.series_id = news.series_id
    left join written on markets.series_id = written.series_id

),

final as (

    select
        * exclude (last_candle_id, is_made_anew),
        is_made_anew or tail_start = first_open_time as is_whole,
        -- a full rebuild covers all written rows, including those of candles that no longer exist
        series_id * 10000000000000 + case when is_whole then 0 else epoch_ms(tail_start) end as first_new_id,
        -- rows before the rebuild range only fill the lookback; a feature with a gap in its lookback is null anyway, so
        -- it is enough to go back by time
        greatest(tail_start - to_milliseconds({{ warm_up_rows() }} * timeframe_ms), first_open_time) as warm_up_start,
        greatest(
            (select max(load_id) from candles),
            (select max(load_id_so_far) from {{ ref('int_outside__known') }})
        ) as seen_load_id
    from tails
    where
        tail_start <= last_open_time
        -- or no candles are left from there on, and there are rows to delete
        or first_new_id <= last_candle_id

)

select * from final
