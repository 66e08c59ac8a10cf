with

lists as (

    select * from {{ candle_lists() }}

),

changes as (

    select
        *,
        ta_rocp(close, 10) as change_10
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(ta_rocp(close, 5)) as change_5,
        unnest(change_10) as change_10,
        unnest(ta_rocp(close, 20)) as change_20,
        unnest(ta_rocp(close, 50)) as change_50,
        unnest(vec_difference(change_10, 10)) as acceleration_10
    from changes

),

final as (

    select
        candle_id,
        {{ feature('rate_of_change_5', 'change_5') }},
        {{ feature('rate_of_change_10', 'change_10') }},
        {{ feature('rate_of_change_20', 'change_20') }},
        {{ feature('rate_of_change_50', 'change_50') }},
        {{ feature('rate_of_change_acceleration_10', 'acceleration_10') }}
    from indicators

)

select * from final
