{#- All candle patterns of TA-Lib: 61 columns made alike, so a list instead of 61 times the same two lines. -#}
{%- set patterns = [
    "2crows", "3blackcrows", "3inside", "3linestrike", "3outside", "3starsinsouth", "3whitesoldiers", "advanceblock",
    "belthold", "breakaway", "closingmarubozu", "concealbabyswall", "counterattack", "doji", "dojistar",
    "dragonflydoji", "engulfing", "gapsidesidewhite", "gravestonedoji", "hammer", "hangingman", "harami",
    "haramicross", "highwave", "hikkake", "hikkakemod", "homingpigeon", "identical3crows", "inneck", "invertedhammer",
    "kicking", "kickingbylength", "ladderbottom", "longleggeddoji", "longline", "marubozu", "matchinglow", "onneck",
    "piercing", "rickshawman", "risefall3methods", "separatinglines", "shootingstar", "shortline", "spinningtop",
    "stalledpattern", "sticksandwich", "takuri", "tasukigap", "thrusting", "tristar", "unique3river",
    "upsidegap2crows", "xsidegap3methods"
] -%}
{#- These also ask how far the last candle reaches into the body of an earlier one: TA-Lib's default share of it. -#}
{%- set penetrations = {
    "abandonedbaby": 0.3,
    "darkcloudcover": 0.5,
    "eveningdojistar": 0.3,
    "eveningstar": 0.3,
    "mathold": 0.5,
    "morningdojistar": 0.3,
    "morningstar": 0.3
} -%}
with

lists as (

    select * from {{ candle_lists() }}

),

-- TA-Lib compares bodies and shadows with shares of their means; where the two are equal, rounding of decimal prices
-- would decide
priced as (

    select
        candle_id,
        run_length,
        whole_prices(open, high) as open,
        whole_prices(high, high) as high,
        whole_prices(low, high) as low,
        whole_prices(close, high) as close
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        {% for name in patterns %}
            unnest(ta_cdl{{ name }}(open, high, low, close)) as pattern_{{ name }},
        {% endfor %}
        {% for name, penetration in penetrations.items() %}
            unnest(ta_cdl{{ name }}(open, high, low, close, {{ penetration }})) as pattern_{{ name }},
        {% endfor %}
        unnest(run_length) as run_length
    from priced

),

final as (

    select
        {% for name in patterns + penetrations.keys() | list %}
            {{ state_feature('pattern_' ~ name) }},
        {% endfor %}
        candle_id
    from indicators

)

select * from final
