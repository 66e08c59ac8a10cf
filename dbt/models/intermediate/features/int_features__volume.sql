with

lists as (

    select * from {{ candle_lists() }}

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(volume) as volume,
        unnest(window_mean(volume, 24)) as mean_24,
        unnest(window_std(volume, 24)) as deviation_24,
        unnest(window_mean(vec_multiply(vec_sign(vec_difference(close, 1)), volume), 24)) as signed_24
    from lists

),

final as (

    select
        candle_id,
        {{ feature('volume_ratio_24', 'case when mean_24 > 0 then ln(1 + volume / mean_24) else 0 end') }},
        {{ feature(
            'volume_zscore_24',
            'case when deviation_24 > 0 then (volume - mean_24) / deviation_24 else 0 end'
        ) }},
        {{ feature('obv_share_24', 'case when mean_24 > 0 then signed_24 / mean_24 else 0 end') }}
    from indicators

)

select * from final
