with

lists as (

    select * from {{ candle_lists() }}

),

computed as (

    select
        candle_id,
        run_length,
        -- %b less 0.5; 0 where the closes do not move
        vec_scale(
            vec_divide(vec_subtract(close, window_mean(close, 20)), window_std(close, 20)), 0.25
        ) as centred_b,
        close,
        ta_min(low, 14) as lowest,
        ta_max(high, 14) as highest
    from lists

),

smoothed as (

    select
        *,
        window_mean(window_position(centred_b, 14), 3) as k
    from computed

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(close) as close,
        unnest(centred_b) as centred_b,
        unnest(lowest) as lowest,
        unnest(highest) as highest,
        unnest(k) as k,
        unnest(window_mean(k, 3)) as d
    from smoothed

),

final as (

    select
        candle_id,
        {{ feature('bollinger_stochastic_k_14', 'k') }},
        {{ feature('bollinger_stochastic_d_14', 'd') }},
        {{ feature(
            'bollinger_minus_stochastic_14',
            '0.5 + centred_b'
            ~ ' - case when highest > lowest then (close - lowest) / (highest - lowest) else 0.5 end'
        ) }}
    from indicators

)

select * from final
