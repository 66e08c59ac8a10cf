-- A candle beside the raster would be left out without a word, and a gap would stand in its place.
{{ config(tags=['candles']) }}

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
    where epoch_ms(candles.open_time) % markets.base_ms != 0

)

select * from final
