with

lists as (

    select * from {{ candle_lists() }}

),

computed as (

    select
        candle_id,
        run_length,
        close,
        vec_scale(vec_add(high, low), 0.5) as median_price
    from lists

),

lines as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(close) as close,
        unnest(vec_lag(ewm_mean(median_price, 1 / 13), 8)) as jaw,
        unnest(vec_lag(ewm_mean(median_price, 1 / 8), 5)) as teeth,
        unnest(vec_lag(ewm_mean(median_price, 1 / 5), 3)) as lips
    from computed

),

final as (

    select
        candle_id,
        {{ feature('alligator_jaw', 'jaw') }},
        {{ feature('alligator_teeth', 'teeth') }},
        {{ feature('alligator_lips', 'lips') }},
        {{ feature('close_over_alligator_jaw', 'close / jaw - 1') }},
        {{ feature('close_over_alligator_teeth', 'close / teeth - 1') }},
        {{ feature('close_over_alligator_lips', 'close / lips - 1') }},
        {{ feature('alligator_mouth', '(lips - jaw) / close') }},
        {{ feature('gator_upper', 'abs(jaw - teeth) / close') }},
        {{ feature('gator_lower', 'abs(teeth - lips) / close') }}
    from lines

)

select * from final
