with

candles as (

    select * from {{ ref('int_candles__window') }}
    where is_new

),

final as (

    select
        {% for group in var('feature_groups') %}
            features_{{ group }}.* exclude (candle_id),
        {% endfor %}
        candles.exchange,
        candles.symbol,
        candles.timeframe,
        candles.open_time,
        candles.available_at,
        candles.run_length,
        candles.load_id
    from candles
    {% for group in var('feature_groups') %}
        inner join {{ ref('int_features__' ~ group) }} as features_{{ group }}
            on candles.candle_id = features_{{ group }}.candle_id
    {% endfor %}

)

-- the contract sets the order of the columns
select * from final
