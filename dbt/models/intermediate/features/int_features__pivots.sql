with

lists as (

    select * from {{ candle_lists() }}

),

windows as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(close) as close,
        -- the 24 candles before this one
        unnest(vec_lag(ta_max(high, 24), 1)) as top,
        unnest(vec_lag(ta_min(low, 24), 1)) as bottom,
        unnest(vec_lag(close, 1)) as close_before
    from lists

),

levels as (

    select
        *,
        top - bottom as height,
        (top + bottom + close_before) / 3 as pivot_24
    from windows

),

final as (

    select
        candle_id,
        {{ feature('pivot_24') }},
        {{ feature('close_over_pivot_24', '(close - pivot_24) / close') }},
        {{ feature('close_over_resistance_1_24', '(close - (2 * pivot_24 - bottom)) / close') }},
        {{ feature('close_over_resistance_2_24', '(close - (pivot_24 + height)) / close') }},
        {{ feature('close_over_support_1_24', '(close - (2 * pivot_24 - top)) / close') }},
        {{ feature('close_over_support_2_24', '(close - (pivot_24 - height)) / close') }},
        {{ feature('pivot_width_24', 'height / close') }},
        {{ feature(
            'camarilla_position_24',
            'case when height > 0 then (close - close_before) / (0.55 * height) + 0.5 else 0.5 end'
        ) }}
    from levels

)

select * from final
