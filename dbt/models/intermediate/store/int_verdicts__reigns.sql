with

verdicts as (

    select * from {{ ref('stg_store__verdicts') }}

),

-- a reign begins with a promotion; a review belongs to the current reign
numbered as (

    select
        *,
        count(*) filter (where decision = 'promoted') over (
            partition by {{ series() }}
            order by sequence
        ) as reign
    from verdicts
    where decision in ('promoted', 'confirmed', 'retired')

),

reigns as (

    select
        exchange,
        symbol,
        timeframe,
        reign,
        min(sequence) as sequence,
        min(decided_at) filter (where decision = 'promoted') as promoted_at,
        -- a review may refit: the newest model serves, earlier ones have forecast too
        arg_max(model_id, sequence) filter (where decision != 'retired') as model_id,
        list(distinct model_id) as model_ids,
        arg_max(trained_through, sequence) filter (where decision != 'retired') as trained_through,
        max(decided_at) filter (where decision != 'promoted') as reviewed_at,
        arg_max(review_skill, sequence) filter (where decision != 'promoted') as review_skill,
        max(decided_at) filter (where decision = 'retired') as retired_at
    from numbered
    where reign > 0
    group by exchange, symbol, timeframe, reign

),

followed as (

    select
        *,
        lead(promoted_at) over (partition by {{ series() }} order by reign) as replaced_at
    from reigns

),

final as (

    select
        exchange,
        symbol,
        timeframe,
        sequence,
        promoted_at,
        coalesce(retired_at, replaced_at) as ended_at,
        case
            when retired_at is not null then 'retired'
            when replaced_at is not null then 'replaced'
        end as ended_by,
        model_id,
        model_ids,
        trained_through,
        reviewed_at,
        review_skill,
        retired_at is null and replaced_at is null as is_current
    from followed

)

select * from final
