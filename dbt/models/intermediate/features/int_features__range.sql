with

candles as (

    select
        candle_id,
        series_number,
        open_time,
        run_length,
        ln(high / previous_close) as high_over_previous,
        ln(low / previous_close) as low_over_previous
    from {{ ref('int_candles__window') }}

),

lists as (

    select
        list(candle_id order by open_time) as candle_id,
        list(high_over_previous order by open_time) as high_over_previous,
        list(low_over_previous order by open_time) as low_over_previous
    from candles
    group by series_number

),

smoothed as (

    select
        unnest(candle_id) as candle_id,
        unnest(ta_ema(high_over_previous, 6)) as high_ewma_6,
        unnest(ta_ema(low_over_previous, 6)) as low_ewma_6
    from lists

),

averaged as (

    select
        candle_id,
        run_length,
        avg(high_over_previous) over {{ past(6) }} as high_mean_6,
        avg(high_over_previous) over {{ past(24) }} as high_mean_24,
        avg(high_over_previous) over {{ past(72) }} as high_mean_72,
        avg(high_over_previous) over {{ past(168) }} as high_mean_168,
        avg(low_over_previous) over {{ past(6) }} as low_mean_6,
        avg(low_over_previous) over {{ past(24) }} as low_mean_24,
        avg(low_over_previous) over {{ past(72) }} as low_mean_72,
        avg(low_over_previous) over {{ past(168) }} as low_mean_168
    from candles

),

final as (

    select
        averaged.candle_id,
        {{ feature('range_high_ewma_6', 'high_ewma_6') }},
        {{ feature('range_high_mean_6', 'high_mean_6') }},
        {{ feature('range_high_mean_24', 'high_mean_24') }},
        {{ feature('range_high_mean_72', 'high_mean_72') }},
        {{ feature('range_high_mean_168', 'high_mean_168') }},
        {{ feature('range_low_ewma_6', 'low_ewma_6') }},
        {{ feature('range_low_mean_6', 'low_mean_6') }},
        {{ feature('range_low_mean_24', 'low_mean_24') }},
        {{ feature('range_low_mean_72', 'low_mean_72') }},
        {{ feature('range_low_mean_168', 'low_mean_168') }}
    from averaged
    inner join smoothed on averaged.candle_id = smoothed.candle_id

)

select * from final
