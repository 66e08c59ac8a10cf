-- A candle beside the raster is left out, and a gap stands in its place: that must not go unsaid. A warning, since it
-- would stop all markets until somebody withdraws the candle.
{{ config(tags=['candles'], severity='warn') }}

with

candles as (

    select * from {{ ref('int_candles__base') }}

),

markets as (

    select distinct
        exchange,
        symbol,
        base_timeframe,
        base_ms
    from {{ ref('stg_exchange__markets') }}

),

final as (

    select candles.*
    from candles
    inner join markets
        on
            candles.exchange = markets.exchange
            and candles.symbol = markets.symbol
            and candles.timeframe = markets.base_timeframe
    where
        epoch_ms(candles.open_time) % markets.base_ms != 0
        and candles.close is not null

)

select * from final
