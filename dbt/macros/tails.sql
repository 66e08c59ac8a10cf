{#-
How the candle tables stay up to date. Every row carries load_id: the largest load that its series had seen up to that
row's time. It never falls as time goes on, so the largest load_id of a series is its watermark, and what an upstream
table holds beyond it is a tail: everything from the earliest changed candle on. A run computes the tails, no more, and
`replace_tail` deletes each from its first row on and inserts it again. Without a changed candle nothing is written.
A watermark by time would miss revised candles and filled gaps; that is why loads are counted.
-#}

{#-
Open time from which on loaded candles may differ from what this table was made of. It stands in the query as a number,
so that DuckDB reads and sorts those candles only: a join with the tails would come after the search for revisions.
-#}
{% macro unread_since() -%}
    {%- if not is_incremental() -%}
        {{ return("-infinity") }}
    {%- endif -%}
    {%- set found = run_query(
        "with written as (select exchange, symbol, timeframe, max(load_id) as load_id from " ~ this ~ " group by all)"
        ~ " select case when count(*) filter (where written.load_id is null) > 0 then timestamp '-infinity' else ("
        ~ "select min(open_time) from " ~ source("raw", "candles") ~ " where load_id > (select max(load_id) from written)"
        ~ ") end::varchar from " ~ ref("stg_exchange__markets") ~ " as markets left join written"
        ~ " using (exchange, symbol, timeframe) where markets.timeframe = markets.base_timeframe"
    ) -%}
    {{ return(found.columns[0].values() | first or "infinity") }}
{%- endmacro %}

{#- The watermark of each series in this table, and its last raster time; no rows in a full build. -#}
{% macro written_series() -%}
    {%- if is_incremental() -%}
    select exchange, symbol, timeframe, max(load_id) as load_id, max(open_time) as last_open_time
    from {{ this }}
    group by exchange, symbol, timeframe
    {%- else -%}
    select
        null::varchar as exchange, null::varchar as symbol, null::varchar as timeframe,
        null::bigint as load_id, null::timestamp as last_open_time
    where false
    {%- endif -%}
{%- endmacro %}

{#- The row of this table right before each tail: run_length and load_id go on from there. -#}
{% macro rows_before(tails) -%}
    {%- if is_incremental() -%}
    select written.exchange, written.symbol, written.timeframe, written.run_length, written.load_id
    from {{ this }} as written
    inner join {{ tails }} as tails
        on written.exchange = tails.exchange
        and written.symbol = tails.symbol
        and written.timeframe = tails.timeframe
        and written.open_time = tails.tail_start - to_milliseconds(tails.timeframe_ms)
    {%- else -%}
    select
        null::varchar as exchange, null::varchar as symbol, null::varchar as timeframe,
        null::bigint as run_length, null::bigint as load_id
    where false
    {%- endif -%}
{%- endmacro %}

{#-
From raster rows (series, timeframe_ms, open_time, prices, is_gap, load_id of the candle) to the rows of a candle table:
run_length is the number of consecutive candles up to and with this one, 0 on a gap; load_id the largest one so far.
-#}
{% macro with_run_length(raster, before) -%}
    select
        raster.exchange,
        raster.symbol,
        raster.timeframe,
        raster.open_time,
        raster.open,
        raster.high,
        raster.low,
        raster.close,
        raster.volume,
        raster.is_gap,
        -- the raster has a row for every candle and every gap, so the time since the last gap counts them
        coalesce(
            date_diff('ms', max(raster.open_time) filter (where raster.is_gap) over past, raster.open_time)
            // raster.timeframe_ms,
            row_number() over past + coalesce(before.run_length, 0)
        ) as run_length,
        greatest(max(raster.load_id) over past, before.load_id) as load_id
    from {{ raster }} as raster
    left join {{ before }} as before
        on raster.exchange = before.exchange
        and raster.symbol = before.symbol
        and raster.timeframe = before.timeframe
    window past as (partition by {{ series('raster') }} order by raster.open_time rows unbounded preceding)
{%- endmacro %}

{#- The incremental strategy `replace_tail`: dbt finds it by this name. -#}
{% macro get_incremental_replace_tail_sql(arg_dict) -%}
    {%- set columns = get_quoted_csv(arg_dict["dest_columns"] | map(attribute="name")) -%}
    delete from {{ arg_dict["target_relation"] }} as written
    using (
        select {{ series() }}, min(open_time) as tail_start
        from {{ arg_dict["temp_relation"] }}
        group by {{ series() }}
    ) as tails
    where
        written.exchange = tails.exchange
        and written.symbol = tails.symbol
        and written.timeframe = tails.timeframe
        and written.open_time >= tails.tail_start;

    insert into {{ arg_dict["target_relation"] }} ({{ columns }})
    select {{ columns }} from {{ arg_dict["temp_relation"] }}
{%- endmacro %}
