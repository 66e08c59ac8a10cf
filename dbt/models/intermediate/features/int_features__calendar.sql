with

lists as (

    select * from {{ candle_lists() }}

),

candles as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        make_timestamp_ms(unnest(candle_id) % 10000000000000) as open_time
    from lists

),

shares as (

    select
        candle_id,
        run_length,
        -- shares of a period that have passed when the candle opens
        epoch(open_time - date_trunc('day', open_time)) / 86400 as of_day,
        epoch(open_time - date_trunc('week', open_time)) / 604800 as of_week,
        epoch(open_time - date_trunc('month', open_time))
        / epoch(date_trunc('month', open_time) + interval 1 month - date_trunc('month', open_time)) as of_month,
        epoch(open_time - date_trunc('year', open_time))
        / epoch(date_trunc('year', open_time) + interval 1 year - date_trunc('year', open_time)) as of_year
    from candles

),

final as (

    select
        candle_id,
        {{ feature('hour_sin', 'sin(2 * pi() * of_day)') }},
        {{ feature('hour_cos', 'cos(2 * pi() * of_day)') }},
        {{ feature('weekday_sin', 'sin(2 * pi() * floor(7 * of_week) / 7)') }},
        {{ feature('weekday_cos', 'cos(2 * pi() * floor(7 * of_week) / 7)') }},
        {{ feature('time_of_day', '2 * of_day - 1') }},
        {{ feature('time_of_week', '2 * of_week - 1') }},
        {{ feature('time_of_month', '2 * of_month - 1') }},
        {{ feature('time_of_year', '2 * of_year - 1') }}
    from shares

)

select * from final
