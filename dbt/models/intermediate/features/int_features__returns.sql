with

candles as (

    select * from {{ ref('int_candles__window') }}

),

returns_of_candles as (

    select
        candle_id,
        run_length,
        ln(close / lag(close) over series_in_time) as log_return_1,
        ln(close / lag(close, 2) over series_in_time) as log_return_2,
        ln(close / lag(close, 3) over series_in_time) as log_return_3,
        ln(close / lag(close, 6) over series_in_time) as log_return_6,
        ln(close / lag(close, 12) over series_in_time) as log_return_12,
        ln(close / lag(close, 24) over series_in_time) as log_return_24
    from candles
    window series_in_time as (partition by series_number order by open_time)

),

final as (

    select
        candle_id,
        {{ feature('log_return_1', 'log_return_1') }},
        {{ feature('log_return_2', 'log_return_2') }},
        {{ feature('log_return_3', 'log_return_3') }},
        {{ feature('log_return_6', 'log_return_6') }},
        {{ feature('log_return_12', 'log_return_12') }},
        {{ feature('log_return_24', 'log_return_24') }}
    from returns_of_candles

)

select * from final
