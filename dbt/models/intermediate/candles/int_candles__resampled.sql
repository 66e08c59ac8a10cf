with

markets as (

    select * from {{ ref('stg_exchange__markets') }}
    where timeframe != base_timeframe

),

base_candles as (

    select
        raster.* exclude (timeframe, run_length, base_ms, is_outside),
        markets.timeframe,
        markets.timeframe_ms,
        markets.base_ms
    from {{ ref('int_candles__raster') }} as raster
    inner join markets
        on
            raster.exchange = markets.exchange
            and raster.symbol = markets.symbol
            and raster.timeframe = markets.base_timeframe

),

written as (

    {{ written_series('markets') }}

),

tails as (

    select
        base_candles.exchange,
        base_candles.symbol,
        base_candles.timeframe,
        base_candles.timeframe_ms,
        base_candles.base_ms,
        -- buckets after the last written one were incomplete then and are checked again
        least(
            time_bucket(
                to_milliseconds(base_candles.timeframe_ms),
                min(base_candles.open_time) filter (where base_candles.load_id > coalesce(written.load_id, -1)),
                timestamp '1970-01-01'
            ),
            any_value(written.last_open_time + to_milliseconds(base_candles.timeframe_ms))
        ) as tail_start
    from base_candles
    left join written
        on
            base_candles.exchange = written.exchange
            and base_candles.symbol = written.symbol
            and base_candles.timeframe = written.timeframe
    group by
        base_candles.exchange,
        base_candles.symbol,
        base_candles.timeframe,
        base_candles.timeframe_ms,
        base_candles.base_ms
    having count(*) filter (where base_candles.load_id > coalesce(written.load_id, -1)) > 0

),

before as (

    {{ rows_before('tails') }}

),

buckets as (

    select
        base_candles.exchange,
        base_candles.symbol,
        base_candles.timeframe,
        time_bucket(
            to_milliseconds(base_candles.timeframe_ms), base_candles.open_time, timestamp '1970-01-01'
        ) as open_time,
        arg_min(base_candles.open, base_candles.open_time) as open,
        max(base_candles.high) as high,
        min(base_candles.low) as low,
        arg_max(base_candles.close, base_candles.open_time) as close,
        -- in order: the last bit of a sum must not depend on threads
        sum(base_candles.volume order by base_candles.open_time) as volume,
        max(base_candles.load_id) as load_id,
        count(*) filter (where not base_candles.is_gap)
        = any_value(base_candles.timeframe_ms // base_candles.base_ms) as is_complete
    from base_candles
    inner join tails
        on
            base_candles.exchange = tails.exchange
            and base_candles.symbol = tails.symbol
            and base_candles.timeframe = tails.timeframe
            and base_candles.open_time >= tails.tail_start
    group by all

),

spans as (

    select
        exchange,
        symbol,
        timeframe,
        min(open_time) filter (where is_complete) as first_known,
        max(open_time) filter (where is_complete) as last_known
    from buckets
    group by exchange, symbol, timeframe

),

raster as (

    -- the base time grid has a row for every gap, so no bucket is missing
    select
        buckets.* exclude (open, high, low, close, volume, is_complete),
        tails.timeframe_ms,
        tails.base_ms,
        spans.first_known,
        spans.last_known,
        case when buckets.is_complete then buckets.open end as open,
        case when buckets.is_complete then buckets.high end as high,
        case when buckets.is_complete then buckets.low end as low,
        case when buckets.is_complete then buckets.close end as close,
        case when buckets.is_complete then buckets.volume end as volume,
        not buckets.is_complete as is_gap
    from buckets
    inner join tails
        on
            buckets.exchange = tails.exchange
            and buckets.symbol = tails.symbol
            and buckets.timeframe = tails.timeframe
    inner join spans
        on
            buckets.exchange = spans.exchange
            and buckets.symbol = spans.symbol
            and buckets.timeframe = spans.timeframe

),

final as (

    {{ with_run_length('raster', 'before') }}

)

select * from final
