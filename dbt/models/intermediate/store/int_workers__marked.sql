with

verdicts as (

    select * from {{ ref('stg_store__verdicts') }}

),

trusted_again as (

    select * from {{ ref('stg_store__trusted_again') }}

),

false_claims as (

    select
        {{ machine('false_claim_worker') }} as machine,
        decided_at
    from verdicts
    where false_claim_worker is not null

),

final as (

    select
        false_claims.machine,
        min(false_claims.decided_at) as marked_at,
        count(*) as false_claims
    from false_claims
    left join trusted_again on false_claims.machine = trusted_again.machine
    where trusted_again.since is null or false_claims.decided_at >= trusted_again.since
    group by false_claims.machine

)

select * from final
