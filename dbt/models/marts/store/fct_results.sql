with

results as (

    select * from {{ ref('stg_store__results') }}

),

-- machines with a failed verification
marked as (

    select * from {{ ref('stg_store__marked_machines') }}

),

first_results as (

    select
        *,
        coalesce(machine, '') not in (select marked.machine from marked) as is_trusted
    from results
    -- two workers may have computed the same case: the first trusted result that arrived here counts
    qualify
        row_number() over (
            partition by case_key, dataset_id
            order by is_trusted desc, arrival asc
        ) = 1

),

final as (

    select
        {{ contract_columns() }}
    from first_results

)

select * from final
