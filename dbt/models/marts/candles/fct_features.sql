with

markets as (

    select * from {{ ref('dim_markets') }}

),

candles as (

    select * from {{ ref('int_candles__featured') }}

),

final as (

    select
        markets.exchange,
        markets.symbol,
        markets.timeframe,
        make_timestamp_ms(candles.candle_id % 10000000000000) as open_time,
        make_timestamp_ms(candles.candle_id % 10000000000000 + markets.timeframe_ms) as available_at,
        candles.candle_id,
        candles.run_length,
        candles.load_id,
        {% for group in var('feature_groups') %}
            features_{{ group }}.* exclude (candle_id){{ '' if loop.last else ',' }}
        {% endfor %}
    from candles
    inner join markets on candles.candle_id // 10000000000000 = markets.series_id
    {% for group in var('feature_groups') %}
        inner join {{ ref('int_features__' ~ group) }} as features_{{ group }}
            on candles.candle_id = features_{{ group }}.candle_id
    {% endfor %}

)

select * from final
