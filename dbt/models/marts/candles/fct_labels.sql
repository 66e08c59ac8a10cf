{%- set closes, summary = label_horizon('closes_100'), label_horizon('horizon_summary_30') -%}
{%- set highlow2, topbot2 = label_horizon('highlow2'), label_horizon('topbot2') | int // 2 -%}
{%- set threshold, stop = var('label_highlow2_threshold'), var('label_highlow2_tolerance') -%}
{%- set level, slack = var('label_topbot2_level'), var('label_topbot2_tolerance') -%}
with

around as (

    select * from {{ ref('int_labels__around') }}

),

known as (

    select
        *,
        closes[place] as close,
        -- a run of candles that began no later than the first that is needed has no gap before the last
        case when run_lengths[place + 1] > 1 then available_ats[place + 1] end as next_available_at,
        case when run_lengths[place + {{ closes }}] > {{ closes }} then available_ats[place + {{ closes }}] end
            as closes_available_at,
        case when run_lengths[place + {{ summary }}] > {{ summary }} then available_ats[place + {{ summary }}] end
            as summary_available_at,
        case when run_lengths[place + {{ highlow2 }}] > {{ highlow2 }} then available_ats[place + {{ highlow2 }}] end
            as highlow2_available_at,
        case
            when run_lengths[place + 2 * {{ topbot2 }}] > 4 * {{ topbot2 }}
                then available_ats[place + 2 * {{ topbot2 }}]
        end as topbot2_available_at
    from around

),

nearby as (

    select
        *,
        highs[place + 1:place + {{ highlow2 }}] as next_highs,
        lows[place + 1:place + {{ highlow2 }}] as next_lows,
        closes[place:place + {{ topbot2 }}] as closes_ahead,
        tops[place:place + {{ topbot2 }}] as tops_ahead,
        bottoms[place:place + {{ topbot2 }}] as bottoms_ahead,
        -- nearest first, as in the lists ahead
        list_reverse(closes[place - {{ topbot2 }}:place]) as closes_behind,
        list_reverse(tops[place - {{ topbot2 }}:place]) as tops_behind,
        list_reverse(bottoms[place - {{ topbot2 }}:place]) as bottoms_behind
    from known
    where close is not null

),

-- Tops this close to each other are equally high (a lower one is not a top), so the first highest is the nearest.
found as (

    select
        *,
        list_position(list_transform(next_highs, lambda x: x >= close * (1 + {{ threshold }})), true) as rise,
        list_position(list_transform(next_lows, lambda x: x <= close * (1 - {{ threshold }} * {{ stop }})), true)
            as dip,
        list_position(list_transform(next_lows, lambda x: x <= close * (1 - {{ threshold }})), true) as fall,
        list_position(list_transform(next_highs, lambda x: x >= close * (1 + {{ threshold }} * {{ stop }})), true)
            as bump,
        list_min(closes_ahead[1:list_position(tops_ahead, list_max(tops_ahead))])
        >= list_max(tops_ahead) * (1 - {{ level }} * {{ slack }}) as near_top_ahead,
        list_min(closes_behind[1:list_position(tops_behind, list_max(tops_behind))])
        >= list_max(tops_behind) * (1 - {{ level }} * {{ slack }}) as near_top_behind,
        list_max(closes_ahead[1:list_position(bottoms_ahead, list_min(bottoms_ahead))])
        <= list_min(bottoms_ahead) * (1 + {{ level }} * {{ slack }}) as near_bottom_ahead,
        list_max(closes_behind[1:list_position(bottoms_behind, list_min(bottoms_behind))])
        <= list_min(bottoms_behind) * (1 + {{ level }} * {{ slack }}) as near_bottom_behind
    from nearby

),

final as (

    select
        {{ series() }},
        open_time,
        next_available_at as label_available_at,
        ln(highs[place + 1] / close) as label_high,
        ln(lows[place + 1] / close) as label_low,
        ln(closes[place + 1] / close) as label_close,
        closes_available_at,
        case
            when closes_available_at is not null
                then list_transform(closes[place + 1:place + {{ closes }}], lambda x: ln(x / close))
        end as label_closes,
        summary_available_at,
        case
            when summary_available_at is not null
                then 100 * (list_max(highs[place + 1:place + {{ summary }}]) / close - 1)
        end as label_max_rise_pct,
        case
            when summary_available_at is not null
                then 100 * (list_min(lows[place + 1:place + {{ summary }}]) / close - 1)
        end as label_max_decline_pct,
        case when summary_available_at is not null then 100 * (closes[place + {{ summary }}] / close - 1) end
            as label_end_change_pct,
        highlow2_available_at,
        case when highlow2_available_at is not null then coalesce(rise < coalesce(dip, {{ highlow2 }} + 1), false) end
            as label_high_first,
        case when highlow2_available_at is not null then coalesce(fall < coalesce(bump, {{ highlow2 }} + 1), false) end
            as label_low_first,
        topbot2_available_at,
        case when topbot2_available_at is not null then coalesce(near_top_ahead or near_top_behind, false) end
            as label_top,
        case when topbot2_available_at is not null then coalesce(near_bottom_ahead or near_bottom_behind, false) end
            as label_bottom,
        next_available_at as trade_available_at,
        case
            when abs(closes[place + 1] / close - 1) < 2 * {{ var('label_trade_fee') }} then 0
            when closes[place + 1] > close then 1
            when closes[place + 1] < close then -1
        end::smallint as label_trade
    from found

)

select * from final
