with

results as (

    select * from {{ ref('stg_store__results') }}

),

final as (

    select
        {{ contract_columns() }}
    from results
    -- two workers may have computed the same case: the first result counts
    qualify
        row_number() over (
            partition by case_key, dataset_id
            order by finished_at, started_at, worker, result_file
        ) = 1

)

select * from final
