with

verdicts as (

    select * from {{ ref('stg_store__verdicts') }}

),

reigns as (

    select * from {{ ref('stg_store__reigns') }}
    where is_current

),

final as (

    select
        verdicts.* replace (
            reigns.model_id as model_id,
            reigns.trained_through as trained_through,
            reigns.review_skill as review_skill
        ),
        reigns.reviewed_at
    from reigns
    inner join verdicts on reigns.sequence = verdicts.sequence

)

select * from final
