with

markets as (

    select distinct
        exchange,
        symbol,
        base_timeframe as timeframe,
        base_ms as timeframe_ms
    from {{ ref('stg_exchange__markets') }}

),

candles as (

    select
        candles.*,
        markets.timeframe_ms
    from {{ ref('int_candles__base') }} as candles
    inner join markets
        on
            candles.exchange = markets.exchange
            and candles.symbol = markets.symbol
            and candles.timeframe = markets.timeframe
    where
        candles.open_time >= '{{ unread_since() }}'::timestamp
        -- misaligned candles must not shift the time grid; assert_candles_lie_on_the_raster reports them
        and epoch_ms(candles.open_time) % markets.timeframe_ms = 0

),

written as (

    {{ written_series() }}

),

tails as (

    select
        candles.exchange,
        candles.symbol,
        candles.timeframe,
        candles.timeframe_ms,
        candles.timeframe_ms as base_ms,
        -- gap rows between the last written candle and a later new one belong to the rebuild range
        least(
            min(candles.open_time) filter (where candles.load_id > coalesce(written.load_id, -1)),
            any_value(written.last_open_time + to_milliseconds(candles.timeframe_ms))
        ) as tail_start,
        max(candles.open_time) as last_open_time,
        min(candles.open_time) filter (where candles.close is not null) as first_known,
        max(candles.open_time) filter (where candles.close is not null) as last_known
    from candles
    left join written
        on
            candles.exchange = written.exchange
            and candles.symbol = written.symbol
            and candles.timeframe = written.timeframe
    group by candles.exchange, candles.symbol, candles.timeframe, candles.timeframe_ms
    having count(*) filter (where candles.load_id > coalesce(written.load_id, -1)) > 0

),

before as (

    {{ rows_before('tails') }}

),

raster_times as (

    select
        exchange,
        symbol,
        timeframe,
        timeframe_ms,
        base_ms,
        first_known,
        last_known,
        unnest(generate_series(tail_start, last_open_time, to_milliseconds(timeframe_ms))) as open_time
    from tails

),

raster as (

    select
        raster_times.exchange,
        raster_times.symbol,
        raster_times.timeframe,
        raster_times.timeframe_ms,
        raster_times.base_ms,
        raster_times.first_known,
        raster_times.last_known,
        raster_times.open_time,
        candles.open,
        candles.high,
        candles.low,
        candles.close,
        candles.volume,
        candles.load_id,
        candles.close is null as is_gap
    from raster_times
    left join candles
        on
            raster_times.exchange = candles.exchange
            and raster_times.symbol = candles.symbol
            and raster_times.timeframe = candles.timeframe
            and raster_times.open_time = candles.open_time

),

final as (

    {{ with_run_length('raster', 'before') }}

)

select * from final
