{#-
How the candle tables stay up to date. Every row carries load_id, the largest load of its series up to the time of the
row. It never decreases over time, so the largest load_id of a series is its watermark, and upstream rows beyond it
define the rebuild range (tail) of the series: everything from the earliest changed candle on. A run computes only the
rebuild ranges, and `replace_tail` deletes and reinserts each of them. Without a changed candle nothing is written.
Watermarks are loads because a watermark by time would miss revised candles and filled gaps.

Rows before a series' first candle and after its last one (withdrawn candles, incomplete buckets) are kept too, for
their load_id: is_outside. Rows whose base_ms is not the market's current base timeframe count as missing.
-#}

{#-
Open time from which on loaded candles may differ from the rows of this table: over all changed series, the earliest of
the first changed candle and the end of the written rows. It is a constant in the query, so that DuckDB reads and sorts
only those candles: a join with the rebuild ranges would come after the search for revisions. The smallest watermark,
also a constant, skips most row groups; each series is then compared with its own watermark, since a series that is
configured again may have older loads to read.
-#}
{% macro unread_since() -%}
    {%- if not is_incremental() -%}
        {{ return("-infinity") }}
    {%- endif -%}
    {%- set found = run_query(
        "with written as ("
        ~ "select exchange, symbol, timeframe, max(load_id) as load_id,"
        ~ " max(open_time) filter (where not is_outside) as last_open_time from " ~ this ~ " group by all"
        ~ "), places as ("
        ~ "select distinct coalesce(sources.source_exchange, markets.exchange) as exchange,"
        ~ " coalesce(sources.source_symbol, markets.symbol) as symbol, markets.timeframe, markets.timeframe_ms,"
        ~ " coalesce(written.load_id, -1) as load_id,"
        ~ " written.last_open_time + to_milliseconds(markets.timeframe_ms) as next_open_time"
        ~ " from " ~ ref("stg_exchange__markets") ~ " as markets"
        ~ " left join " ~ source("raw", "sources") ~ " as sources using (exchange, symbol)"
        ~ " left join written using (exchange, symbol, timeframe) where markets.timeframe = markets.base_timeframe"
        ~ ") select min(least(candles.open_time, places.next_open_time))::varchar"
        ~ " from " ~ source("raw", "candles") ~ " as candles inner join places using (exchange, symbol, timeframe)"
        ~ " where candles.load_id > (select min(load_id) from places) and candles.load_id > places.load_id"
        ~ " and epoch_ms(candles.open_time) % places.timeframe_ms = 0"
    ) -%}
    {{ return(found.columns[0].values() | first or "infinity") }}
{%- endmacro %}

{#-
The watermark of each series in this table, and the open time of its last candle or gap; no rows in a full build. With
`markets`, only rows of their base timeframes count.
-#}
{% macro written_series(markets=none) -%}
    {%- if is_incremental() -%}
    select
        {{ series('rows_of_series') }},
        max(rows_of_series.load_id) as load_id,
        max(rows_of_series.open_time) filter (where not rows_of_series.is_outside) as last_open_time
    from {{ this }} as rows_of_series
    {% if markets -%}
    semi join {{ markets }} as markets
        on rows_of_series.exchange = markets.exchange
        and rows_of_series.symbol = markets.symbol
        and rows_of_series.timeframe = markets.timeframe
        and rows_of_series.base_ms = markets.base_ms
    {%- endif %}
    group by {{ series('rows_of_series') }}
    {%- else -%}
    select
        null::varchar as exchange, null::varchar as symbol, null::varchar as timeframe,
        null::bigint as load_id, null::timestamp as last_open_time
    where false
    {%- endif -%}
{%- endmacro %}

{#- The row of this table right before each rebuild range: run_length and load_id continue from it. -#}
{% macro rows_before(tails) -%}
    {%- if is_incremental() -%}
    select
        written.exchange, written.symbol, written.timeframe, written.run_length, written.load_id, written.is_outside
    from {{ this }} as written
    inner join {{ tails }} as tails
        on written.exchange = tails.exchange
        and written.symbol = tails.symbol
        and written.timeframe = tails.timeframe
        and written.base_ms = tails.base_ms
        and written.open_time = tails.tail_start - to_milliseconds(tails.timeframe_ms)
    {%- else -%}
    select
        null::varchar as exchange, null::varchar as symbol, null::varchar as timeframe,
        null::bigint as run_length, null::bigint as load_id, null::boolean as is_outside
    where false
    {%- endif -%}
{%- endmacro %}

{#-
Turns rows of the time grid (series, timeframe_ms, base_ms, open_time, prices, is_gap, load_id of the candle;
first_known and last_known: the first and last candle of the rebuild range) into rows of a candle table: run_length is
the number of consecutive candles up to and including this one, 0 on a gap; load_id is the largest one so far.
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
        raster.base_ms,
        coalesce(
            raster.open_time > raster.last_known
            or (raster.open_time < raster.first_known and coalesce(before.is_outside, true)),
            true
        ) as is_outside,
        -- the time grid has a row for every candle and every gap, so the time since the last gap counts them
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
        select {{ series() }}, base_ms, min(open_time) as tail_start
        from {{ arg_dict["temp_relation"] }}
        group by {{ series() }}, base_ms
    ) as tails
    where
        written.exchange = tails.exchange
        and written.symbol = tails.symbol
        and written.timeframe = tails.timeframe
        and (written.open_time >= tails.tail_start or written.base_ms != tails.base_ms);

    insert into {{ arg_dict["target_relation"] }} ({{ columns }})
    select {{ columns }} from {{ arg_dict["temp_relation"] }}
{%- endmacro %}
