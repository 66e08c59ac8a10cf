with

source as (

    select * from {{ source('raw', 'markets') }}

),

numbers as (

    select * from {{ source('raw', 'series') }}

),

final as (

    select
        numbers.series_id,
        source.exchange,
        source.symbol,
        source.timeframe,
        source.timeframe_ms,
        source.base_timeframe,
        source.base_ms
    from source
    inner join numbers
        on
            source.exchange = numbers.exchange
            and source.symbol = numbers.symbol
            and source.timeframe = numbers.timeframe

)

select * from final
