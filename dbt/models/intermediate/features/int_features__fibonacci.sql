with

lists as (

    select * from {{ candle_lists() }}

),

swings as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(close) as close,
        unnest(ta_min(low, 72)) as bottom,
        unnest(vec_subtract(ta_max(high, 72), ta_min(low, 72))) as height,
        unnest(rows_since_maximum(high, 72)) as since_high,
        unnest(rows_since_maximum(vec_scale(low, -1), 72)) as since_low
    from lists

),

final as (

    select
        candle_id,
        {{ feature('fibonacci_position_72', 'case when height > 0 then (close - bottom) / height else 0.5 end') }},
        {{ feature('fibonacci_level_382_72', 'bottom + 0.382 * height') }},
        {{ feature('fibonacci_level_500_72', 'bottom + 0.5 * height') }},
        {{ feature('fibonacci_level_618_72', 'bottom + 0.618 * height') }},
        {{ feature('close_over_fibonacci_236_72', 'close / (bottom + 0.236 * height) - 1') }},
        {{ feature('close_over_fibonacci_382_72', 'close / (bottom + 0.382 * height) - 1') }},
        {{ feature('close_over_fibonacci_500_72', 'close / (bottom + 0.5 * height) - 1') }},
        {{ feature('close_over_fibonacci_618_72', 'close / (bottom + 0.618 * height) - 1') }},
        {{ feature('close_over_fibonacci_786_72', 'close / (bottom + 0.786 * height) - 1') }},
        {{ state_feature('fibonacci_direction_72', 'case when since_high < since_low then 1 else -1 end') }}
    from swings

)

select * from final
