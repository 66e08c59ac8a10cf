with

lists as (

    select * from {{ candle_lists() }}

),

computed as (

    select
        candle_id,
        run_length,
        vec_divide(close, window_mean(close, 200)) as multiple
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(multiple) as multiple,
        unnest(window_mean(multiple, 200)) as multiple_mean,
        unnest(window_std(multiple, 200)) as multiple_deviation
    from computed

),

final as (

    select
        candle_id,
        {{ feature('mayer_multiple_200', 'multiple') }},
        -- multiples that differ by less than 1e-9 differ by rounding
        {{ feature(
            'mayer_multiple_zscore_200',
            'case when multiple_deviation > 1e-9 then (multiple - multiple_mean) / multiple_deviation else 0 end'
        ) }}
    from indicators

)

select * from final
