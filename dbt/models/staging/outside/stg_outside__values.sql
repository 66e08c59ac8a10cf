with

source as (

    select * from {{ source('raw', 'outside') }}

),

final as (

    select
        name,
        symbol,
        available_at,
        value,
        load_id,
        loaded_at
    from source
    -- a value that was revised was loaded again: the last load wins
    qualify
        row_number() over (
            partition by name, symbol, available_at
            order by load_id desc
        ) = 1

)

select * from final
