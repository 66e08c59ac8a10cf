with

lists as (

    select * from {{ candle_lists() }}

),

ranges as (

    select
        *,
        ta_atr(high, low, close, 10) as true_range
    from lists

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(close) as close,
        unnest(ta_cmo(close, 14)) as momentum,
        unnest(vec_lag(window_mean(close, 14), 1)) as mean_before,
        unnest(vec_lag(linear_weighted_mean(close, 14), 1)) as weighted_before,
        unnest(ta_min(vec_add(ta_min(low, 10), true_range), 9)) as long_stop,
        unnest(ta_max(vec_subtract(ta_max(high, 10), true_range), 9)) as short_stop
    from ranges

),

forecasts as (

    select
        *,
        -- the least-squares line through the 14 closes before, one step on: TA-Lib's TSF without its cancellations
        mean_before + 45 / 13 * (weighted_before - mean_before) as forecast
    from indicators

),

final as (

    select
        candle_id,
        {{ feature('chande_momentum_14', 'momentum / 100') }},
        {{ feature('chande_forecast_oscillator_14', '(close - forecast) / close') }},
        {{ feature('chande_kroll_long_stop', 'long_stop') }},
        {{ feature('chande_kroll_short_stop', 'short_stop') }},
        {{ feature('close_over_chande_kroll_long', '(close - long_stop) / close') }},
        {{ feature('close_over_chande_kroll_short', '(close - short_stop) / close') }}
    from forecasts

)

select * from final
