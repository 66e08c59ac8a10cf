with

markets as (

    select * from {{ ref('stg_exchange__markets') }}

),

final as (

    select
        exchange,
        symbol,
        timeframe,
        timeframe_ms,
        base_timeframe,
        base_ms
    from markets

)

select * from final
