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

dates as (

    select
        *,
        epoch(open_time - date_trunc('year', open_time))
        / epoch(date_trunc('year', open_time) + interval 1 year - date_trunc('year', open_time)) as of_year
    from candles

),

final as (

    select
        candle_id,
        {{ feature('hour_of_day', 'hour(open_time) / 23 * 2 - 1') }},
        {{ feature('day_of_week', '(isodow(open_time) - 1) / 6 * 2 - 1') }},
        {{ feature('day_of_month', '(day(open_time) - 1) / 30 * 2 - 1') }},
        {{ feature('week_of_year', '(week(open_time) - 1) / 52 * 2 - 1') }},
        {{ feature('month_of_year', '(month(open_time) - 1) / 11 * 2 - 1') }},
        {{ feature('month_sin', 'sin(2 * pi() * (month(open_time) - 1) / 12)') }},
        {{ feature('month_cos', 'cos(2 * pi() * (month(open_time) - 1) / 12)') }},
        {{ feature('year_since_2020', '(year(open_time) - 2020 + of_year) / 10') }},
        {{ state_feature('is_weekend', 'isodow(open_time) >= 6') }}
    from dates

)

select * from final
