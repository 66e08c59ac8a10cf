with

source as (

    select * from {{ source('raw', 'sources') }}

),

final as (

    select
        exchange,
        symbol,
        source_exchange,
        source_symbol,
        since_load_id,
        minimal_sources
    from source

)

select * from final
