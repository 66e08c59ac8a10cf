with

tails as (

    select * from {{ ref('int_candles__tails') }}

),

markets as (

    select * from {{ ref('dim_markets') }}

),

wanted as (

    select
        series_id,
        exchange,
        symbol,
        timeframe,
        timeframe_ms,
        base_ms,
        leader_id,
        larger_id,
        larger_ms,
        seen_load_id,
        first_new_id,
        warm_up_start,
        is_whole,
        true as is_tail
    from tails
    where tail_start <= last_open_time
    {% if a_feature_table_is_stale() %}
        -- a new or changed group needs all candles, the others only their rebuild range
        union all
        select markets.*
        from ({{ whole_series('markets') }}) as markets
        left join tails on markets.series_id = tails.series_id and tails.is_whole
        where tails.series_id is null
    {% endif %}

),

final as (

    {{ candles_as_lists('wanted', ref('fct_candles')) }}

)

select * from final
