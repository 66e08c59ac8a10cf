with

candles as (

    select * from {{ ref('int_candles__window') }}

),

bands as (

    select
        candle_id,
        run_length,
        close,
        avg(close) over {{ past(20) }} as middle,
        stddev_pop(close) over {{ past(20) }} as deviation
    from candles

),

final as (

    select
        candle_id,
        {{ feature(
            'bollinger_percent_b_20',
            'case when deviation > 0 then (close - middle + 2 * deviation) / (4 * deviation) else 0.5 end'
        ) }},
        {{ feature('bollinger_width_20', '4 * deviation / middle') }}
    from bands

)

select * from final
