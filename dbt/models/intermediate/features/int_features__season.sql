with

lists as (

    select
        candle_id,
        timeframe_ms,
        least(greatest(86400000 // timeframe_ms, 1), 2016) as rows_of_day,
        least(greatest(604800000 // timeframe_ms, 1), 2016) as rows_of_week,
        least(greatest(2592000000 // timeframe_ms, 1), 2016) as rows_of_month,
        -- of 12 weeks; for timeframes below an hour of fewer
        least(greatest(7257600000 // timeframe_ms, 1), 2016) as rows_of_season,
        vec_log(vec_divide(high, low)) as ranges
    from {{ candle_lists() }}

),

seasons as (

    select
        *,
        season(ranges, candle_id, timeframe_ms, rows_of_season) as season
    from lists

),

means as (

    select
        unnest(candle_id) as candle_id,
        unnest(season.hour) as this_hour,
        unnest(season.next_hour) as next_hour,
        unnest(season.next_weekend) as next_weekend,
        unnest(ranges) as range_1,
        unnest(span_mean(ranges, candle_id, timeframe_ms, 6)) as range_6,
        unnest(span_mean(ranges, candle_id, timeframe_ms, rows_of_day)) as range_day,
        unnest(span_mean(ranges, candle_id, timeframe_ms, rows_of_week)) as range_week,
        unnest(span_mean(ranges, candle_id, timeframe_ms, rows_of_month)) as range_month
    from seasons

),

final as (

    select
        candle_id,
        {{ tolerant_feature('season_hour', 'this_hour') }},
        {{ tolerant_feature('season_next_hour', 'next_hour') }},
        {{ tolerant_feature('season_next_weekend', 'next_weekend') }},
        {{ tolerant_feature('season_next', 'next_hour * next_weekend') }},
        {{ tolerant_feature('season_range_1', 'range_1 * next_hour * next_weekend') }},
        {{ tolerant_feature('season_range_6', 'range_6 * next_hour * next_weekend') }},
        {{ tolerant_feature('season_range_day', 'range_day * next_hour * next_weekend') }},
        {{ tolerant_feature('season_range_week', 'range_week * next_hour * next_weekend') }},
        {{ tolerant_feature('season_range_month', 'range_month * next_hour * next_weekend') }}
    from means

)

select * from final
