with

lists as (

    select * from {{ candle_lists() }}

),

computed as (

    select
        candle_id,
        run_length,
        close,
        window_mean(close, 20) as middle,
        window_std(close, 20) as deviation
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(close) as close,
        unnest(middle) as middle,
        unnest(deviation) as deviation,
        unnest(window_mean(vec_scale(vec_divide(deviation, middle), 4), 120)) as width_mean
    from computed

),

bands as (

    select
        *,
        middle - 2 * deviation as lower_band,
        middle + 2 * deviation as upper_band,
        4 * deviation / middle as width
    from indicators

),

final as (

    select
        candle_id,
        {{ feature(
            'bollinger_percent_b_20',
            'case when deviation > 0 then (close - lower_band) / (4 * deviation) else 0.5 end'
        ) }},
        {{ feature('bollinger_width_20', 'width') }},
        {{ feature('bollinger_upper_20', 'upper_band') }},
        {{ feature('bollinger_lower_20', 'lower_band') }},
        {{ feature('close_over_bollinger_upper_20', 'close / upper_band - 1') }},
        -- the lower Bollinger band is not above 0 when the deviation of the closes is half of their mean or more
        {{ feature(
            'close_over_bollinger_lower_20',
            'case when lower_band > 0 then close / lower_band - 1 else 0 end'
        ) }},
        {{ feature('bollinger_squeeze_120', 'case when width_mean > 0 then width / width_mean else 1 end') }}
    from bands

)

select * from final
