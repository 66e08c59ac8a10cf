with

weights as (

    select * from {{ ref('stg_store__weights') }}

),

final as (

    select
        exchange,
        symbol,
        timeframe,
        round_time,
        contender,
        round_score,
        volatility_weight,
        weight,
        round_time = max(round_time) over (partition by {{ series() }}) as is_latest
    from weights

)

select * from final
