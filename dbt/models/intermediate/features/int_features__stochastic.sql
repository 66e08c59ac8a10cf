with

lists as (

    select * from {{ ref('int_candles__lists') }}

),

computed as (

    select
        *,
        ta_stoch(high, low, close, 14, 3, 0, 3, 0) as stochastic
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(stochastic.slowk) as slowk,
        unnest(stochastic.slowd) as slowd
    from computed

),

final as (

    select
        candle_id,
        {{ feature('stochastic_k_14', 'slowk / 100') }},
        {{ feature('stochastic_d_14', 'slowd / 100') }}
    from indicators

)

select * from final
