with

candles as (

    select * from {{ ref('fct_candles') }}
    where not is_gap

),

written as (

    {{ written_features() }}

),

tails as (

    select
        candles.exchange,
        candles.symbol,
        candles.timeframe,
        row_number() over (order by candles.exchange, candles.symbol, candles.timeframe) as series_number,
        min(candles.open_time) as tail_start,
        -- rows before the tail are read only to warm up: a feature with a gap in its lookback is null anyway, so it
        -- is enough to go back by time
        min(candles.open_time)
        - {{ warm_up_rows() }} * any_value(candles.close_time - candles.open_time) as warm_up_start
    from candles
    left join written
        on
            candles.exchange = written.exchange
            and candles.symbol = written.symbol
            and candles.timeframe = written.timeframe
    where candles.load_id > coalesce(written.load_id, -1)
    group by candles.exchange, candles.symbol, candles.timeframe

),

final as (

    select
        -- one number names a candle and joins the groups
        tails.series_number * 10000000000000 + epoch_ms(candles.open_time) as candle_id,
        tails.series_number,
        candles.exchange,
        candles.symbol,
        candles.timeframe,
        candles.open_time,
        candles.available_at,
        candles.open,
        candles.high,
        candles.low,
        candles.close,
        candles.volume,
        candles.run_length,
        candles.load_id,
        candles.open_time >= tails.tail_start as is_new,
        lag(candles.close) over (partition by tails.series_number order by candles.open_time) as previous_close
    from candles
    inner join tails
        on
            candles.exchange = tails.exchange
            and candles.symbol = tails.symbol
            and candles.timeframe = tails.timeframe
            and candles.open_time >= tails.warm_up_start

)

select * from final
