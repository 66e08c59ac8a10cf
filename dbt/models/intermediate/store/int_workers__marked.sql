with

verdicts as (

    select * from {{ ref('stg_store__verdicts') }}

),

final as (

    select
        {{ machine('false_claim_worker') }} as machine,
        min(decided_at) as marked_at,
        count(*) as false_claims
    from verdicts
    where false_claim_worker is not null
    group by machine

)

select * from final
