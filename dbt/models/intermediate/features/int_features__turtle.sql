with

candles as (

    select * from {{ ref('int_candles__window') }}

),

channels as (

    select
        candle_id,
        run_length,
        close,
        -- the channel of the candles before this one, so that a breakout lies beyond 0 or 1
        max(high) over before_20 as high_20,
        min(low) over before_20 as low_20,
        max(high) over before_55 as high_55,
        min(low) over before_55 as low_55
    from candles
    window
        before_20 as (partition by series_number order by open_time rows between 20 preceding and 1 preceding),
        before_55 as (partition by series_number order by open_time rows between 55 preceding and 1 preceding)

),

final as (

    select
        candle_id,
        {{ feature(
            'turtle_position_20',
            'case when high_20 > low_20 then (close - low_20) / (high_20 - low_20) else 0.5 end'
        ) }},
        {{ feature(
            'turtle_position_55',
            'case when high_55 > low_55 then (close - low_55) / (high_55 - low_55) else 0.5 end'
        ) }}
    from channels

)

select * from final
