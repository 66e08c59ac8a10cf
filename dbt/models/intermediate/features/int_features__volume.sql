with

candles as (

    select
        *,
        case
            when close > previous_close then volume
            when close < previous_close then -volume
            else 0
        end as signed_volume
    from {{ ref('int_candles__window') }}

),

windows as (

    select
        candle_id,
        run_length,
        volume,
        avg(volume) over {{ past(24) }} as mean_24,
        stddev_pop(volume) over {{ past(24) }} as deviation_24,
        sum(signed_volume) over {{ past(24) }} as signed_24
    from candles

),

final as (

    select
        candle_id,
        {{ feature(
            'volume_ratio_24',
            'case when mean_24 > 0 then ln(1 + volume / mean_24) else 0 end'
        ) }},
        {{ feature(
            'volume_zscore_24',
            'case when deviation_24 > 0 then (volume - mean_24) / deviation_24 else 0 end'
        ) }},
        {{ feature(
            'obv_share_24',
            'case when mean_24 > 0 then signed_24 / (24 * mean_24) else 0 end'
        ) }}
    from windows

)

select * from final
