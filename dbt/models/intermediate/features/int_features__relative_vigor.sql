with

lists as (

    select * from {{ candle_lists() }}

),

computed as (

    select
        candle_id,
        run_length,
        -- 0 where no candle has a range
        vec_divide(
            window_mean(symmetric_mean(vec_subtract(close, open)), 10),
            window_mean(symmetric_mean(vec_subtract(high, low)), 10)
        ) as vigor
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(vigor) as vigor,
        unnest(symmetric_mean(vigor)) as signal
    from computed

),

final as (

    select
        candle_id,
        {{ feature('relative_vigor_10', 'vigor') }},
        {{ feature('relative_vigor_signal_10', 'signal') }},
        {{ feature('relative_vigor_difference_10', 'vigor - signal') }}
    from indicators

)

select * from final
