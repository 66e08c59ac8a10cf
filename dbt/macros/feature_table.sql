{#-
Materialization of the feature models: a table with one row per candle, keyed by candle_id. While its fingerprint is
current, a run replaces the rebuild ranges in int_candles__tails in one transaction; otherwise it rebuilds the table.
dbt's own incremental materialization would need ten more statements for each of the forty models of a run.

Any selection may run, so the table is stamped last, with its fingerprint and the id of its rebuild ranges: after the
row count was checked, and only if the lists match the rebuild ranges.
-#}
{% materialization feature_table, adapter="duckdb", supported_languages=["sql"] %}
    {%- set target_relation = this.incorporate(type="table") -%}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- set built = built_tables(["int_candles__tails", "int_candles__lists"]) -%}
    {%- set tails = built.stamps.get("int_candles__tails", "") -%}
    {%- if tail_mark() in compiled_code -%}
        {%- do assert_lists_fit_tails(tails, built.stamps.get("int_candles__lists", "")) -%}
        {%- call statement("main") -%}
            {{ replace_tails(target_relation, compiled_code) }}
        {%- endcall -%}
    {%- else -%}
        {%- if config.get("contract").enforced -%}
            {{ get_assert_columns_equivalent(compiled_code) }}
        {%- endif -%}
        {%- call statement("main") -%}
            create or replace table {{ target_relation }} as
            {{ compiled_code | replace(batch_mark(), "false") }}
        {%- endcall -%}
        {%- for batch in batches() -%}
            {%- call statement("batch") -%}
                insert into {{ target_relation }}
                {{ compiled_code | replace(batch_mark(), "series_id in (" ~ batch ~ ")") }}
            {%- endcall -%}
        {%- endfor -%}
        {%- do assert_all_candles(target_relation) -%}
        {%- do stamp_columns(target_relation, compiled_code | replace(candle_lists(), table_of("int_candles__lists"))) -%}
    {%- endif -%}
    {%- call statement("stamp") -%}
        comment on table {{ target_relation }} is '{{ fingerprint(model, built.code) }} {{ tails }}'
    {%- endcall -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ return({"relations": [target_relation]}) }}
{% endmaterialization %}

{#-
The series of a full build in batches of half a million candles or one series: DuckDB passes a function all lists of a
query at once, so memory would grow with the number of series, and arrays larger than the cache are slow.
-#}
{% macro batches() -%}
    {%- set found = run_query(
        "select string_agg(series_id, ', ') from (select series_id, sum(candles) over (order by series_id)"
        ~ " // 500000 as part from (" ~ candles_per_series() ~ ")) group by part order by part"
    ) -%}
    {{ return(found.columns[0].values()) }}
{%- endmacro %}

{#- Number of candles per series that a full build writes. -#}
{% macro candles_per_series() -%}
    {%- if lists_hold_all_candles() -%}
        select series_id, len(candle_id) as candles from {{ table_of("int_candles__lists") }} where is_whole
    {%- else -%}
        select markets.series_id, count(*) as candles
        from {{ table_of("fct_candles") }} as candles
        inner join {{ table_of("dim_markets") }} as markets using (exchange, symbol, timeframe)
        where not candles.is_gap
        group by markets.series_id
    {%- endif -%}
{%- endmacro %}

{#- Checked before the table is stamped: a table without all its rows must not count as current. -#}
{% macro assert_all_candles(target_relation) -%}
    {%- set due = run_query("select coalesce(sum(candles), 0) from (" ~ candles_per_series() ~ ")") -%}
    {%- set written = run_query("select count(*) from " ~ target_relation) -%}
    {%- set due, written = due.rows[0][0] | int, written.rows[0][0] | int -%}
    {%- if due != written -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ " has " ~ written ~ " rows for " ~ due ~ " candles; the table stays as it was. Let its SQL "
            ~ "give one row per candle, and build it without --empty."
        ) }}
    {%- endif -%}
{%- endmacro %}

{#- With rebuild ranges of one run and lists of another, rows would be deleted and not written again. -#}
{% macro assert_lists_fit_tails(tails, lists) -%}
    {%- if lists.split(" ")[0] != tails -%}
        {{ exceptions.raise_compiler_error(
            "int_candles__lists and int_candles__tails come from different runs, so " ~ model.name ~ " stays as it was. "
            ~ "Build them together: dbt build --select tag:candles"
        ) }}
    {%- endif -%}
{%- endmacro %}

{#-
Pre-hook of int_candles__featured, whose rows state what all groups have processed: each group must have been written
with the rebuild ranges of this run.
-#}
{% macro assert_groups_have_the_tails() -%}
    {%- set groups, behind = [], [] -%}
    {%- for group in var("feature_groups") if execute -%}
        {%- do groups.append("int_features__" ~ group) -%}
    {%- endfor -%}
    {%- set stamps = built_tables(groups + ["int_candles__tails"]).stamps if execute -%}
    {%- for name in groups if stamps.get(name, "").partition(" ")[2] != stamps.get("int_candles__tails", "") -%}
        {%- do behind.append(name) -%}
    {%- endfor -%}
    {%- if behind -%}
        {{ exceptions.raise_compiler_error(
            "The newest candles are missing in " ~ in_short(behind) ~ ", so " ~ model.name ~ " stays as it was. "
            ~ "Build all groups together: dbt build --select tag:candles"
        ) }}
    {%- endif -%}
{%- endmacro %}

{#-
Replaces the rebuild ranges in int_candles__tails; a range without candles has no list, only rows to delete.
One delete per range, with constants: DuckDB then reads only the row groups that contain it. A join, or an `or` of all
ranges, would read all candle ids of the table.
-#}
{% macro replace_tails(target_relation, sql) -%}
    {%- set tails = run_query(
        "select first_new_id, series_id * 10000000000000 + 9999999999999"
        ~ " from " ~ table_of("int_candles__tails")
    ) -%}
    {%- set ranges = [] -%}
    {%- for tail in tails.rows -%}
        {%- do ranges.append("candle_id between " ~ tail[0] ~ " and " ~ tail[1]) -%}
    {%- endfor -%}
    {%- for range in ranges %}
    delete from {{ target_relation }} where {{ range }};
    {%- endfor %}

    insert into {{ target_relation }} by name
    select *
    from (
        {{ sql }}
    )
    where {{ ranges | join(" or ") or "false" }}
{%- endmacro %}
