with

forecasts as (

    select * from {{ ref('int_forecasts__scored') }}

),

final as (

    select
        *,
        row_number() over (
            partition by {{ series() }}
            order by target_open_time desc, sequence desc
        ) = 1 as is_current
    from forecasts

)

select * from final
