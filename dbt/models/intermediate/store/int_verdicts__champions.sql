with

verdicts as (

    select * from {{ ref('stg_store__verdicts') }}

),

final as (

    select *
    from verdicts
    where decision = 'promoted'
    qualify row_number() over (partition by {{ series() }} order by sequence desc) = 1

)

select * from final
