with

lists as (

    select * from {{ candle_lists() }}

),

candles as (

    select
        exchange,
        symbol,
        timeframe,
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        make_timestamp_ms(unnest(candle_id) % 10000000000000) as open_time
    from lists

),

known as (

    select * from {{ ref('int_outside__known') }}

),

{% for name in var('exogenous_series') %}
    {{ name }} as (

        select * from known
        where known.name = '{{ name }}'

    ),
{% endfor %}

final as (

    select
        candles.candle_id,
        {{ feature('outside_sentiment', 'sentiment.value') }},
        {{ feature('outside_funding_rate', 'funding_rate.value') }},
        {{ feature('outside_order_book', 'order_book.value') }}
    from candles
    {% for name in var('exogenous_series') %}
        -- the value known when the candle opened, so at least one candle before the row could be known
        {{ asof_where_loaded(name) }} join {{ name }}
            on
                candles.exchange = {{ name }}.exchange
                and candles.symbol = {{ name }}.symbol
                and candles.timeframe = {{ name }}.timeframe
                and candles.open_time >= {{ name }}.available_at
    {% endfor %}

)

select * from final
