with

lists as (

    select * from {{ candle_lists() }}

),

prices as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(open) as open,
        unnest(high) as high,
        unnest(low) as low,
        unnest(close) as close
    from lists

),

final as (

    select
        candle_id,
        {{ feature('candle_body', 'ln(close / open)') }},
        {{ feature('candle_upper_shadow', 'ln(high / greatest(open, close))') }},
        {{ feature('candle_lower_shadow', 'ln(least(open, close) / low)') }},
        {{ feature('candle_range', 'ln(high / low)') }},
        {{ feature('candle_high_over_close', 'ln(high / close)') }},
        {{ feature('candle_low_over_close', 'ln(low / close)') }},
        {{ feature(
            'candle_close_location',
            'case when high > low then (close - low) / (high - low) else 0.5 end'
        ) }}
    from prices

)

select * from final
