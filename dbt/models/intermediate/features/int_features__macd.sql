with

lists as (

    select * from {{ candle_lists() }}

),

computed as (

    select
        candle_id,
        run_length,
        close,
        ta_macd(close, 12, 26, 9) as macd
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(close) as close,
        unnest(macd.macd) as line,
        unnest(macd.macdsignal) as signal,
        unnest(macd.macdhist) as histogram,
        unnest(vec_difference(macd.macdhist, 1)) as histogram_change,
        unnest(window_mean(macd.macd, 72)) as line_mean,
        unnest(window_std(macd.macd, 72)) as line_deviation
    from computed

),

final as (

    select
        candle_id,
        {{ feature('macd_line', 'line / close') }},
        {{ feature('macd_signal', 'signal / close') }},
        {{ feature('macd_histogram', 'histogram / close') }},
        {{ feature('macd_histogram_change', 'histogram_change / close') }},
        -- a line that moves by less than 1e-7 of the close moves by rounding
        {{ feature(
            'macd_zscore_72',
            'case when line_deviation > 1e-7 * close then (line - line_mean) / line_deviation else 0 end'
        ) }}
    from indicators

)

select * from final
