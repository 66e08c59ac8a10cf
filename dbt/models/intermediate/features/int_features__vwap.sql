with

lists as (

    select * from {{ candle_lists() }}

),

prices as (

    select
        *,
        ta_typprice(high, low, close) as price,
        rows_since_maximum(high, 72) as since_high,
        rows_since_maximum(vec_scale(low, -1), 72) as since_low
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(close) as close,
        unnest(vwap(price, volume, 24)) as vwap_24,
        unnest(vwap(price, volume, 168)) as vwap_168,
        unnest(vwap_since(price, volume, since_high)) as vwap_from_high_72,
        unnest(vwap_since(price, volume, since_low)) as vwap_from_low_72,
        unnest(vwap_deviations(close, price, volume, 24)) as vwap_deviation_24
    from prices

),

final as (

    select
        candle_id,
        {{ feature('vwap_24') }},
        {{ feature('close_over_vwap_24', 'close / vwap_24 - 1') }},
        {{ feature('close_over_vwap_168', 'close / vwap_168 - 1') }},
        {{ feature('close_over_vwap_from_high_72', 'close / vwap_from_high_72 - 1') }},
        {{ feature('close_over_vwap_from_low_72', 'close / vwap_from_low_72 - 1') }},
        {{ feature('vwap_deviation_24') }}
    from indicators

)

select * from final
