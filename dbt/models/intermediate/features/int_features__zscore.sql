with

candles as (

    select * from {{ ref('int_candles__window') }}

),

windows as (

    select
        candle_id,
        run_length,
        close,
        avg(close) over {{ past(24) }} as mean_24,
        stddev_pop(close) over {{ past(24) }} as deviation_24,
        avg(close) over {{ past(72) }} as mean_72,
        stddev_pop(close) over {{ past(72) }} as deviation_72,
        avg(close) over {{ past(168) }} as mean_168,
        stddev_pop(close) over {{ past(168) }} as deviation_168
    from candles

),

final as (

    select
        candle_id,
        {{ feature(
            'close_zscore_24',
            'case when deviation_24 > 0 then (close - mean_24) / deviation_24 else 0 end'
        ) }},
        {{ feature(
            'close_zscore_72',
            'case when deviation_72 > 0 then (close - mean_72) / deviation_72 else 0 end'
        ) }},
        {{ feature(
            'close_zscore_168',
            'case when deviation_168 > 0 then (close - mean_168) / deviation_168 else 0 end'
        ) }}
    from windows

)

select * from final
