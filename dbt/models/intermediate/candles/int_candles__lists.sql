with

tails as (

    select * from {{ ref('int_candles__tails') }}

),

markets as (

    select * from {{ ref('dim_markets') }}

),

wanted as (

    select
        series_id,
        exchange,
        symbol,
        timeframe,
        timeframe_ms,
        base_ms,
        leader_id,
        larger_id,
        larger_ms,
        seen_load_id,
        first_new_id,
        warm_up_start,
        is_whole,
        true as is_tail
    from tails
    where tail_start <= last_open_time
    {% if a_feature_table_is_stale() %}
        -- a group that is new or was changed needs all candles, the others only their tail
        union all
        select
            markets.series_id,
            markets.exchange,
            markets.symbol,
            markets.timeframe,
            markets.timeframe_ms,
            markets.base_ms,
            markets.leader_id,
            markets.larger_id,
            markets.larger_ms,
            null as seen_load_id,
            0 as first_new_id,
            '-infinity'::timestamp as warm_up_start,
            true as is_whole,
            false as is_tail
        from markets
        left join tails on markets.series_id = tails.series_id and tails.is_whole
        where tails.series_id is null
    {% endif %}

),

collected as (

    select
        wanted.series_id,
        wanted.is_tail,
        candles_in_order(list({
            'candle_id': wanted.series_id * 10000000000000 + epoch_ms(candles.open_time),
            'run_length': candles.run_length,
            'load_id': candles.load_id,
            'open': candles.open,
            'high': candles.high,
            'low': candles.low,
            'close': candles.close,
            'volume': candles.volume
        })) as candles
    from wanted
    inner join {{ ref('fct_candles') }} as candles
        on
            wanted.exchange = candles.exchange
            and wanted.symbol = candles.symbol
            and wanted.timeframe = candles.timeframe
            and wanted.warm_up_start <= candles.open_time
    where not candles.is_gap
    group by wanted.series_id, wanted.is_tail

),

final as (

    select
        wanted.* exclude (warm_up_start),
        collected.candles.candle_id,
        collected.candles.run_length,
        collected.candles.load_id,
        collected.candles.open,
        collected.candles.high,
        collected.candles.low,
        collected.candles.close,
        collected.candles.volume
    from wanted
    inner join collected
        on
            wanted.series_id = collected.series_id
            and wanted.is_tail = collected.is_tail

)

select * from final
