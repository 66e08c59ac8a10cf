with

lists as (

    select * from {{ candle_lists() }}

),

middles as (

    select
        candle_id,
        run_length,
        close,
        ta_midprice(high, low, 9) as conversion,
        ta_midprice(high, low, 26) as base,
        ta_midprice(high, low, 52) as span_b
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(close) as close,
        unnest(conversion) as conversion,
        unnest(base) as base,
        unnest(span_b) as span_b,
        unnest(vec_lag(conversion, 26)) as old_conversion,
        unnest(vec_lag(base, 26)) as old_base,
        unnest(vec_lag(span_b, 26)) as cloud_b
    from middles

),

spans as (

    select
        *,
        (conversion + base) / 2 as span_a,
        -- the cloud over this candle was drawn 26 candles ago
        (old_conversion + old_base) / 2 as cloud_a
    from indicators

),

final as (

    select
        candle_id,
        {{ feature('ichimoku_conversion', 'conversion') }},
        {{ feature('ichimoku_base', 'base') }},
        {{ feature('close_over_ichimoku_conversion', 'close / conversion - 1') }},
        {{ feature('close_over_ichimoku_base', 'close / base - 1') }},
        {{ feature('close_over_ichimoku_span_a', 'close / cloud_a - 1') }},
        {{ feature('close_over_ichimoku_span_b', 'close / cloud_b - 1') }},
        {{ feature('ichimoku_cloud_width', '(cloud_a - cloud_b) / close') }},
        {{ feature('ichimoku_conversion_over_base', 'conversion / base - 1') }},
        {{ feature('ichimoku_future_width', '(span_a - span_b) / close') }}
    from spans

)

select * from final
