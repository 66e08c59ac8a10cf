with

lists as (

    select
        *,
        -- rows of a span of time: at least the candle itself, at most those read before a rebuild range
        least(greatest(86400000 // timeframe_ms, 1), 2016) as rows_of_day,
        least(greatest(604800000 // timeframe_ms, 1), 2016) as rows_of_week,
        least(greatest(2592000000 // timeframe_ms, 1), 2016) as rows_of_month
    from {{ candle_lists() }}

),

-- measures that need no other candle, so that a gap costs only the candles that are missing
logs as (

    select
        candle_id,
        timeframe_ms,
        rows_of_day,
        rows_of_week,
        rows_of_month,
        vec_log(vec_divide(high, low)) as ranges,
        vec_log(vec_divide(close, open)) as bodies
    from lists

),

measures as (

    select
        *,
        vec_multiply(ranges, ranges) as squared_ranges,
        vec_add(
            vec_scale(vec_multiply(ranges, ranges), 0.5),
            vec_scale(vec_multiply(bodies, bodies), 1 - 2 * ln(2))
        ) as garman_klass,
        vec_abs(bodies) as moves
    from logs

),

means as (

    select
        unnest(candle_id) as candle_id,
        unnest(span_mean(ranges, candle_id, timeframe_ms, 1)) as range_1,
        unnest(span_mean(ranges, candle_id, timeframe_ms, 3)) as range_3,
        unnest(span_mean(ranges, candle_id, timeframe_ms, 6)) as range_6,
        unnest(span_mean(ranges, candle_id, timeframe_ms, 12)) as range_12,
        unnest(span_mean(ranges, candle_id, timeframe_ms, 48)) as range_48,
        unnest(span_mean(ranges, candle_id, timeframe_ms, rows_of_day)) as range_day,
        unnest(span_mean(ranges, candle_id, timeframe_ms, rows_of_week)) as range_week,
        unnest(span_mean(ranges, candle_id, timeframe_ms, rows_of_month)) as range_month,
        unnest(span_mean(squared_ranges, candle_id, timeframe_ms, 3)) as parkinson_3,
        unnest(span_mean(squared_ranges, candle_id, timeframe_ms, 6)) as parkinson_6,
        unnest(span_mean(squared_ranges, candle_id, timeframe_ms, 12)) as parkinson_12,
        unnest(span_mean(squared_ranges, candle_id, timeframe_ms, 48)) as parkinson_48,
        unnest(span_mean(squared_ranges, candle_id, timeframe_ms, rows_of_day)) as parkinson_day,
        unnest(span_mean(squared_ranges, candle_id, timeframe_ms, rows_of_week)) as parkinson_week,
        unnest(span_mean(squared_ranges, candle_id, timeframe_ms, rows_of_month)) as parkinson_month,
        unnest(span_mean(garman_klass, candle_id, timeframe_ms, 1)) as garman_klass_1,
        unnest(span_mean(garman_klass, candle_id, timeframe_ms, 3)) as garman_klass_3,
        unnest(span_mean(garman_klass, candle_id, timeframe_ms, 6)) as garman_klass_6,
        unnest(span_mean(garman_klass, candle_id, timeframe_ms, 12)) as garman_klass_12,
        unnest(span_mean(garman_klass, candle_id, timeframe_ms, 48)) as garman_klass_48,
        unnest(span_mean(garman_klass, candle_id, timeframe_ms, rows_of_day)) as garman_klass_day,
        unnest(span_mean(garman_klass, candle_id, timeframe_ms, rows_of_week)) as garman_klass_week,
        unnest(span_mean(garman_klass, candle_id, timeframe_ms, rows_of_month)) as garman_klass_month,
        unnest(span_mean(moves, candle_id, timeframe_ms, 1)) as abs_return_1,
        unnest(span_mean(moves, candle_id, timeframe_ms, 3)) as abs_return_3,
        unnest(span_mean(moves, candle_id, timeframe_ms, 6)) as abs_return_6,
        unnest(span_mean(moves, candle_id, timeframe_ms, 12)) as abs_return_12,
        unnest(span_mean(moves, candle_id, timeframe_ms, 48)) as abs_return_48,
        unnest(span_mean(moves, candle_id, timeframe_ms, rows_of_day)) as abs_return_day,
        unnest(span_mean(moves, candle_id, timeframe_ms, rows_of_week)) as abs_return_week,
        unnest(span_mean(moves, candle_id, timeframe_ms, rows_of_month)) as abs_return_month
    from measures

),

final as (

    select
        candle_id,
        {{ tolerant_feature('har_range_1', 'range_1') }},
        {{ tolerant_feature('har_range_3', 'range_3') }},
        {{ tolerant_feature('har_range_6', 'range_6') }},
        {{ tolerant_feature('har_range_12', 'range_12') }},
        {{ tolerant_feature('har_range_48', 'range_48') }},
        {{ tolerant_feature('har_range_day', 'range_day') }},
        {{ tolerant_feature('har_range_week', 'range_week') }},
        {{ tolerant_feature('har_range_month', 'range_month') }},
        {{ tolerant_feature('har_parkinson_3', 'sqrt(parkinson_3 / (4 * ln(2)))') }},
        {{ tolerant_feature('har_parkinson_6', 'sqrt(parkinson_6 / (4 * ln(2)))') }},
        {{ tolerant_feature('har_parkinson_12', 'sqrt(parkinson_12 / (4 * ln(2)))') }},
        {{ tolerant_feature('har_parkinson_48', 'sqrt(parkinson_48 / (4 * ln(2)))') }},
        {{ tolerant_feature('har_parkinson_day', 'sqrt(parkinson_day / (4 * ln(2)))') }},
        {{ tolerant_feature('har_parkinson_week', 'sqrt(parkinson_week / (4 * ln(2)))') }},
        {{ tolerant_feature('har_parkinson_month', 'sqrt(parkinson_month / (4 * ln(2)))') }},
        {{ tolerant_feature('har_garman_klass_1', 'sqrt(greatest(garman_klass_1, 0))') }},
        {{ tolerant_feature('har_garman_klass_3', 'sqrt(greatest(garman_klass_3, 0))') }},
        {{ tolerant_feature('har_garman_klass_6', 'sqrt(greatest(garman_klass_6, 0))') }},
        {{ tolerant_feature('har_garman_klass_12', 'sqrt(greatest(garman_klass_12, 0))') }},
        {{ tolerant_feature('har_garman_klass_48', 'sqrt(greatest(garman_klass_48, 0))') }},
        {{ tolerant_feature('har_garman_klass_day', 'sqrt(greatest(garman_klass_day, 0))') }},
        {{ tolerant_feature('har_garman_klass_week', 'sqrt(greatest(garman_klass_week, 0))') }},
        {{ tolerant_feature('har_garman_klass_month', 'sqrt(greatest(garman_klass_month, 0))') }},
        {{ tolerant_feature('har_abs_return_1', 'abs_return_1') }},
        {{ tolerant_feature('har_abs_return_3', 'abs_return_3') }},
        {{ tolerant_feature('har_abs_return_6', 'abs_return_6') }},
        {{ tolerant_feature('har_abs_return_12', 'abs_return_12') }},
        {{ tolerant_feature('har_abs_return_48', 'abs_return_48') }},
        {{ tolerant_feature('har_abs_return_day', 'abs_return_day') }},
        {{ tolerant_feature('har_abs_return_week', 'abs_return_week') }},
        {{ tolerant_feature('har_abs_return_month', 'abs_return_month') }}
    from means

)

select * from final
