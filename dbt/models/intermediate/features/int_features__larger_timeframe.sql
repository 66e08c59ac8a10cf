with

lists as (

    select * from {{ candle_lists() }}

),

candles as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(candle_id) % 10000000000000 + timeframe_ms as close_ms,
        unnest(close) as close,
        larger_id,
        larger_ms
    from lists

),

known as (

    select
        candle_id,
        run_length,
        close,
        (close_ms % larger_ms) / larger_ms as age,
        -- the last one that has closed when this candle closes: one that is still open would look ahead
        larger_id * 10000000000000 + close_ms - close_ms % larger_ms - larger_ms as larger_candle_id
    from candles

),

prices as (

    select
        markets.series_id * 10000000000000 + epoch_ms(larger.open_time) as candle_id,
        larger.close
    from {{ ref('fct_candles') }} as larger
    inner join {{ ref('dim_markets') }} as markets
        on
            larger.exchange = markets.exchange
            and larger.symbol = markets.symbol
            and larger.timeframe = markets.timeframe
    -- only series that are the higher timeframe of another one
    where markets.series_id in (select lists.larger_id from lists)

),

final as (

    select
        known.candle_id,
        {{ feature('larger_age', 'known.age') }},
        {{ feature('close_over_larger_close', 'known.close / prices.close - 1') }},
        {{ feature('larger_log_return_1', 'returns.log_return_1') }},
        {{ feature('larger_log_return_6', 'returns.log_return_6') }},
        {{ feature('larger_body', 'shape.candle_body') }},
        {{ feature('larger_range', 'shape.candle_range') }},
        {{ feature('larger_close_location', 'shape.candle_close_location') }},
        {{ feature('larger_close_over_sma_24', 'averages.close_over_sma_24') }},
        {{ feature('larger_volatility_24', 'volatility.volatility_24') }},
        {{ feature('larger_rsi_14', 'rsi.rsi_14') }}
    from known
    left join prices on known.larger_candle_id = prices.candle_id
    left join {{ rows_of('returns', 'larger_id') }} as returns on known.larger_candle_id = returns.candle_id
    left join {{ rows_of('candle_shape', 'larger_id') }} as shape on known.larger_candle_id = shape.candle_id
    left join {{ rows_of('moving_average', 'larger_id') }} as averages on known.larger_candle_id = averages.candle_id
    left join {{ rows_of('volatility', 'larger_id') }} as volatility on known.larger_candle_id = volatility.candle_id
    left join {{ rows_of('rsi', 'larger_id') }} as rsi on known.larger_candle_id = rsi.candle_id

)

select * from final
