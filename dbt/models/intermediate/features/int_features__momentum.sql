with

candles as (

    select
        candle_id,
        series_number,
        open_time,
        run_length,
        (high + low + close) / 3 as typical_price,
        (high + low + close) / 3 * volume as money_flow
    from {{ ref('int_candles__window') }}

),

lists as (

    select * from {{ ref('int_candles__lists') }}

),

signed as (

    select
        *,
        typical_price > lag(typical_price) over series_in_time as is_inflow,
        typical_price < lag(typical_price) over series_in_time as is_outflow
    from candles
    window series_in_time as (partition by series_number order by open_time)

),

-- not TA-Lib's MFI: that one returns 0 where the sum of the flows is below 1, so it depends on the price level
flows as (

    select
        candle_id,
        run_length,
        sum(case when is_inflow then money_flow else 0 end) over {{ past(14) }} as inflow,
        sum(case when is_outflow then money_flow else 0 end) over {{ past(14) }} as outflow
    from signed

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(ta_rocp(close, 10)) as rocp_10,
        unnest(ta_cci(high, low, close, 20)) as cci_20,
        unnest(ta_willr(high, low, close, 14)) as willr_14,
        unnest(ta_adx(high, low, close, 14)) as adx_14
    from lists

),

final as (

    select
        flows.candle_id,
        {{ feature('rate_of_change_10', 'rocp_10') }},
        {{ feature('cci_20', 'cci_20 / 100') }},
        {{ feature('williams_r_14', 'willr_14 / 100') }},
        {{ feature(
            'money_flow_index_14',
            'case when inflow + outflow > 0 then inflow / (inflow + outflow) else 0.5 end'
        ) }},
        {{ feature('adx_14', 'adx_14 / 100') }}
    from flows
    inner join indicators on flows.candle_id = indicators.candle_id

)

select * from final
