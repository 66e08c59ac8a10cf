with

lists as (

    select * from {{ candle_lists() }}

),

computed as (

    select
        candle_id,
        run_length,
        linear_weighted_mean(vec_scale(vec_add(ta_roc(close, 14), ta_roc(close, 11)), 0.01), 10) as curve
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(curve) as coppock_curve,
        unnest(vec_difference(curve, 1)) as coppock_slope
    from computed

),

final as (

    select
        candle_id,
        {{ feature('coppock_curve') }},
        {{ feature('coppock_slope') }}
    from indicators

)

select * from final
