-- A misaligned candle (off the time grid) is left out and replaced by a gap, which must be reported. Only a warning: an
-- error would stop all markets until the candle is withdrawn.
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
