with

source as (

    select * from {{ source('raw', 'results') }}

),

final as (

    select
        -- without the losses: they are large, and only the promotion gate reads them
        * exclude (loss_day, loss_model, loss_baseline),
        coalesce(json_extract_string(case_json, '$.target'), 'next_candle') as target,
        json_extract_string(case_json, '$.walk_forward') is not null as is_walk_forward
    from source

)

select * from final
