with

markets as (

    select * from {{ ref('dim_markets') }}

),

candles as (

    select * from {{ ref('int_candles__featured') }}

),

features as (

    select
        {% for group in var('feature_groups') %}
            features_{{ group }}.* exclude (candle_id),
        {% endfor %}
        candles.candle_id,
        candles.run_length,
        candles.load_id
    from candles
    {% for group in var('feature_groups') %}
        inner join {{ ref('int_features__' ~ group) }} as features_{{ group }}
            on candles.candle_id = features_{{ group }}.candle_id
    {% endfor %}

),

final as (

    select
        markets.exchange,
        markets.symbol,
        markets.timeframe,
        make_timestamp_ms(features.candle_id % 10000000000000) as open_time,
        make_timestamp_ms(features.candle_id % 10000000000000 + markets.timeframe_ms) as available_at,
        features.candle_id,
        features.run_length,
        features.load_id,
        features.* exclude (candle_id, run_length, load_id)
    from features
    inner join markets on features.candle_id // 10000000000000 = markets.series_id

)

select * from final
