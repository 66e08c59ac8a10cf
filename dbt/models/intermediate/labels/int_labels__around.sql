{%- set closes, summary = label_horizon('closes_100'), label_horizon('horizon_summary_30') -%}
{%- set highlow2, topbot2 = label_horizon('highlow2'), label_horizon('topbot2') | int // 2 -%}
with

candles as (

    select * from {{ ref('fct_candles') }}

),

-- no label reaches further than one block ahead or behind
blocks as (

    select
        {{ series() }},
        epoch_ms(open_time) // epoch_ms(available_at - open_time)
        // {{ [closes, summary, highlow2, 2 * topbot2] | map('int') | max }} as block_number,
        list(open_time order by open_time) as open_times,
        list(available_at order by open_time) as available_ats,
        list(run_length order by open_time) as run_lengths,
        list(high order by open_time) as highs,
        list(low order by open_time) as lows,
        list(close order by open_time) as closes
    from candles
    group by {{ series() }}, block_number

),

surroundings as (

    select
        {{ series() }},
        open_times,
        coalesce(len(lag(open_times) over in_time), 0) as places_before,
        list_concat(lag(available_ats) over in_time, available_ats, lead(available_ats) over in_time) as available_ats,
        list_concat(lag(run_lengths) over in_time, run_lengths, lead(run_lengths) over in_time) as run_lengths,
        list_concat(lag(highs) over in_time, highs, lead(highs) over in_time) as highs,
        list_concat(lag(lows) over in_time, lows, lead(lows) over in_time) as lows,
        list_concat(lag(closes) over in_time, closes, lead(closes) over in_time) as closes
    from blocks
    window in_time as (partition by {{ series() }} order by block_number)

),

turning_points as (

    select
        *,
        list_transform(
            range(1, len(closes) + 1),
            lambda u: case
                when
                    closes[u] = list_max(closes[u - {{ topbot2 }}:u + {{ topbot2 }}])
                    and list_min(closes[u - {{ topbot2 }}:u]) <= closes[u] * (1 - {{ var('label_topbot2_level') }})
                    and list_min(closes[u:u + {{ topbot2 }}]) <= closes[u] * (1 - {{ var('label_topbot2_level') }})
                    then closes[u]
            end
        ) as tops,
        list_transform(
            range(1, len(closes) + 1),
            lambda u: case
                when
                    closes[u] = list_min(closes[u - {{ topbot2 }}:u + {{ topbot2 }}])
                    and list_max(closes[u - {{ topbot2 }}:u]) >= closes[u] * (1 + {{ var('label_topbot2_level') }})
                    and list_max(closes[u:u + {{ topbot2 }}]) >= closes[u] * (1 + {{ var('label_topbot2_level') }})
                    then closes[u]
            end
        ) as bottoms
    from surroundings

),

final as (

    select
        * exclude (open_times, places_before),
        unnest(open_times) as open_time,
        places_before + generate_subscripts(open_times, 1) as place
    from turning_points

)

select * from final
