with

source as (

    select * from {{ source('raw', 'markets') }}

),

final as (

    select
        exchange,
        symbol,
        timeframe,
        timeframe_ms,
        base_timeframe,
        base_ms
    from source

)

select * from final
