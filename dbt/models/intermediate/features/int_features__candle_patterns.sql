{#- All candle patterns of TA-Lib: 61 columns made alike, so a list instead of 61 times the same two lines. -#}
{%- set patterns = [
    "2crows", "3blackcrows", "3inside", "3linestrike", "3outside", "3starsinsouth", "3whitesoldiers", "advanceblock",
    "belthold", "breakaway", "closingmarubozu", "concealbabyswall", "counterattack", "doji", "dojistar",
    "dragonflydoji", "engulfing", "gapsidesidewhite", "gravestonedoji", "hammer", "hangingman", "harami",
    "haramicross", "highwave", "hikkake", "hikkakemod", "homingpigeon", "identical3crows", "inneck", "invertedhammer",
    "kicking", "kickingbylength", "ladderbottom", "longleggeddoji", "longline", "marubozu", "matchinglow", "onneck",
    "piercing", "rickshawman", "risefall3methods", "separatinglines", "shootingstar", "shortline", "spinningtop",
    "stalledpattern", "sticksandwich", "takuri", "tasukigap", "thrusting", "tristar", "unique3river",
    "upsidegap2crows", "xsidegap3methods", "abandonedbaby", "darkcloudcover", "eveningdojistar", "eveningstar",
    "mathold", "morningdojistar", "morningstar"
] -%}
with

lists as (

    select * from {{ candle_lists() }}

),

-- TA-Lib compares bodies and shadows with shares of their means; where the two are equal, rounding of decimal prices
-- would decide
computed as (

    select
        candle_id,
        run_length,
        candle_patterns(
            whole_prices(open, high), whole_prices(high, high), whole_prices(low, high), whole_prices(close, high)
        ) as patterns
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        {% for name in patterns %}
            unnest(patterns.pattern_{{ name }}) as pattern_{{ name }},
        {% endfor %}
        unnest(run_length) as run_length
    from computed

),

final as (

    select
        {% for name in patterns %}
            {{ state_feature('pattern_' ~ name) }},
        {% endfor %}
        candle_id
    from indicators

)

select * from final
