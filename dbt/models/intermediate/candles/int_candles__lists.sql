with

candles as (

    select * from {{ ref('int_candles__window') }}

),

final as (

    select
        series_number,
        list(candle_id order by open_time) as candle_id,
        list(run_length order by open_time) as run_length,
        list(open order by open_time) as open,
        list(high order by open_time) as high,
        list(low order by open_time) as low,
        list(close order by open_time) as close,
        list(volume order by open_time) as volume,
        list(previous_close order by open_time) as previous_close
    from candles
    group by series_number

)

select * from final
