with

lists as (

    select * from {{ candle_lists() }}

),

computed as (

    select
        candle_id,
        run_length,
        high,
        low,
        close,
        ta_aroon(high, low, 25) as aroon
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(ta_adx(high, low, close, 14)) as adx,
        unnest(ta_adxr(high, low, close, 14)) as adxr,
        unnest(ta_dx(high, low, close, 14)) as dx,
        unnest(ta_plus_di(high, low, close, 14)) as plus_di,
        unnest(ta_minus_di(high, low, close, 14)) as minus_di,
        unnest(aroon.aroonup) as aroon_up,
        unnest(aroon.aroondown) as aroon_down
    from computed

),

final as (

    select
        candle_id,
        {{ feature('adx_14', 'adx / 100') }},
        {{ feature('plus_di_14', 'plus_di / 100') }},
        {{ feature('minus_di_14', 'minus_di / 100') }},
        {{ feature('dx_14', 'dx / 100') }},
        {{ feature('directional_difference_14', '(plus_di - minus_di) / 100') }},
        {{ feature('adxr_14', 'adxr / 100') }},
        {{ feature('aroon_up_25', 'aroon_up / 100') }},
        {{ feature('aroon_down_25', 'aroon_down / 100') }},
        {{ feature('aroon_oscillator_25', '(aroon_up - aroon_down) / 100') }}
    from indicators

)

select * from final
