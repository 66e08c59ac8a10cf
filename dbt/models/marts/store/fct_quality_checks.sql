with

checks as (

    select * from {{ ref('stg_exchange__quality_checks') }}

),

final as (

    select *
    from checks
    qualify load_id = max(load_id) over (partition by {{ series() }})

)

select * from final
