-- built after all groups, so that its watermark holds for each of them
{{ after_all_groups() }}

with

lists as (

    select * from {{ candle_lists() }}

),

final as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(load_id) as load_id,
        base_ms,
        leader_id,
        larger_id,
        seen_load_id
    from lists

)

select * from final
