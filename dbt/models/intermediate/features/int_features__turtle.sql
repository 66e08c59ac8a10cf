{%- set position -%}
    case when high_{n} > low_{n} then (close - low_{n}) / (high_{n} - low_{n}) else 0.5 end
{%- endset -%}
{%- set breakout -%}
    (high > high_{n})::tinyint - (low < low_{n})::tinyint
{%- endset -%}
with

lists as (

    select * from {{ candle_lists() }}

),

-- the channel of the candles before this one, so that a breakout is beyond 0 or 1
channels as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(high) as high,
        unnest(low) as low,
        unnest(close) as close,
        unnest(vec_lag(ta_max(high, 10), 1)) as high_10,
        unnest(vec_lag(ta_min(low, 10), 1)) as low_10,
        unnest(vec_lag(ta_max(high, 20), 1)) as high_20,
        unnest(vec_lag(ta_min(low, 20), 1)) as low_20,
        unnest(vec_lag(ta_max(high, 55), 1)) as high_55,
        unnest(vec_lag(ta_min(low, 55), 1)) as low_55
    from lists

),

final as (

    select
        candle_id,
        {{ feature('turtle_position_10', position.replace('{n}', '10')) }},
        {{ feature('turtle_position_20', position.replace('{n}', '20')) }},
        {{ feature('turtle_position_55', position.replace('{n}', '55')) }},
        {{ feature('turtle_width_20', '(high_20 - low_20) / close') }},
        {{ state_feature('turtle_breakout_20', breakout.replace('{n}', '20')) }},
        {{ state_feature('turtle_breakout_55', breakout.replace('{n}', '55')) }}
    from channels

)

select * from final
