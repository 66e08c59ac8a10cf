{#-
How the candle tables stay up to date. Every row carries load_id: the largest load that its series had seen up to that
row's time. It never falls as time goes on, so the largest load_id of a series is its watermark, and what an upstream
table holds beyond it is a tail: everything from the earliest changed candle on. A run computes the tails, no more, and
`replace_tail` deletes each from its first row on and inserts it again. Without a changed candle nothing is written.
A watermark by time would miss revised candles and filled gaps; that is why loads are counted.
-#}

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
From raster rows (series, open_time, prices, is_gap, load_id of the candle) to the rows of a candle table: run_length is
the number of consecutive candles up to and with this one, 0 on a gap; load_id the largest one so far.
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
        case
            when raster.is_gap then 0
            -- the first row of each stretch after a gap is the gap itself
            when raster.gaps_so_far > 0 then row_number() over stretch - 1
            else row_number() over stretch + coalesce(before.run_length, 0)
        end as run_length,
        greatest(max(raster.load_id) over past, before.load_id) as load_id
    from (
        select
            *,
            -- a sum over rows: a filtered count over a growing frame is quadratic in DuckDB
            sum(is_gap::integer) over (
                partition by {{ series() }} order by open_time rows unbounded preceding
            ) as gaps_so_far
        from {{ raster }}
    ) as raster
    left join {{ before }} as before
        on raster.exchange = before.exchange
        and raster.symbol = before.symbol
        and raster.timeframe = before.timeframe
    window
        past as (partition by {{ series('raster') }} order by raster.open_time),
        stretch as (partition by {{ series('raster') }}, raster.gaps_so_far order by raster.open_time)
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
