with

lists as (

    select * from {{ candle_lists() }}

),

oscillators as (

    select
        *,
        ta_rsi(close, 14) as rsi_14,
        -- whole, so that a typical price that did not change compares as equal
        vec_add(vec_add(whole_prices(high, high), whole_prices(low, high)), whole_prices(close, high)) as whole_typical,
        vec_multiply(vec_add(vec_add(high, low), close), volume) as money_flow
    from lists

),

flows as (

    select
        *,
        vec_multiply(money_flow, vec_sign(vec_difference(whole_typical, 1))) as signed_flow
    from oscillators

),

-- not TA-Lib's MFI: that one returns 0 where the sum of the flows is below 1, so it depends on the price level
indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(ta_rsi(close, 6)) as rsi_6,
        unnest(rsi_14) as rsi_14,
        unnest(ta_rsi(close, 28)) as rsi_28,
        unnest(ta_min(rsi_14, 14)) as lowest_rsi,
        unnest(ta_max(rsi_14, 14)) as highest_rsi,
        unnest(window_sum(vec_positive(signed_flow), 14)) as inflow,
        unnest(window_sum(vec_positive(vec_scale(signed_flow, -1)), 14)) as outflow
    from flows

),

final as (

    select
        candle_id,
        {{ feature('rsi_6', 'rsi_6 / 100') }},
        {{ feature('rsi_14', 'rsi_14 / 100') }},
        {{ feature('rsi_28', 'rsi_28 / 100') }},
        -- while the close does not move, the index changes only in its last digits
        {{ feature(
            'stochastic_rsi_14',
            'case when highest_rsi - lowest_rsi > 1e-6 then (rsi_14 - lowest_rsi) / (highest_rsi - lowest_rsi)'
            ~ ' else 0.5 end'
        ) }},
        {{ feature(
            'money_flow_index_14',
            'case when inflow + outflow > 0 then inflow / (inflow + outflow) else 0.5 end'
        ) }}
    from indicators

)

select * from final
