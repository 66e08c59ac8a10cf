{% set parts = ['validation', 'holdout', 'paper'] -%}
{% set figures = [
    'start_time',
    'end_time',
    'candles',
    'return_pct',
    'holding_pct',
    'over_holding_pct',
    'lower_pct',
    'upper_pct',
    'trades',
    'win_rate',
    'profit_factor',
    'max_drawdown_pct',
    'sharpe',
    'sortino',
    'cagr_pct',
    'calmar',
    'exposure',
    'turnover',
    'fees_share',
    'break_even_fee_pct',
] -%}

with

active as (

    select * from {{ ref('stg_store__active_signals') }}

),

rules as (

    select * from {{ ref('stg_store__rules') }}
    qualify row_number() over (partition by {{ series() }}, signal order by sequence desc) = 1

),

validation as (

    select * from {{ ref('stg_store__trading_figures') }}
    where part = 'validation'

),

holdout as (

    select * from {{ ref('stg_store__trading_figures') }}
    where part = 'holdout'

),

paper as (

    select * from {{ ref('stg_store__trading_figures') }}
    where part = 'paper'

),

final as (

    select
        rules.exchange,
        rules.symbol,
        rules.timeframe,
        rules.signal,
        rules.signal_key,
        rules.description,
        rules.model,
        rules.case_keys,
        rules.buy,
        rules.sell,
        rules.band_step,
        rules.long_only,
        rules.sizing,
        100 * rules.fee as fee_pct,
        100 * (rules.fee + rules.slippage) as cost_pct,
        rules.trials,
        rules.openings,
        rules.level,
        rules.p_value,
        rules.deflated_sharpe,
        rules.is_shown,
        rules.reason,
        {% for part in parts %}
            {% for figure in figures %}
                {{ part }}.{{ figure }} as {{ part }}_{{ figure }},
            {% endfor %}
        {% endfor %}
        rules.decided_at
    from rules
    inner join active
        on
            rules.exchange = active.exchange
            and rules.symbol = active.symbol
            and rules.timeframe = active.timeframe
            and rules.signal = active.signal
            and rules.signal_key = active.signal_key
    left join validation
        on
            rules.exchange = validation.exchange
            and rules.symbol = validation.symbol
            and rules.timeframe = validation.timeframe
            and rules.signal = validation.signal
    left join holdout
        on
            rules.exchange = holdout.exchange
            and rules.symbol = holdout.symbol
            and rules.timeframe = holdout.timeframe
            and rules.signal = holdout.signal
    left join paper
        on
            rules.exchange = paper.exchange
            and rules.symbol = paper.symbol
            and rules.timeframe = paper.timeframe
            and rules.signal = paper.signal

)

select * from final
