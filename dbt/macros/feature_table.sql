{#-
Materialization of the feature models: a table with one row per candle, keyed by candle_id. While its fingerprint fits,
a run replaces the tails that int_candles__tails names, in one transaction; else it builds the table anew. dbt's own
incremental materialization would do the same with ten statements more, of which a run has forty times.
-#}
{% materialization feature_table, adapter="duckdb", supported_languages=["sql"] %}
    {%- set target_relation = this.incorporate(type="table") -%}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- if tail_mark() in compiled_code -%}
        {%- call statement("main") -%}
            {{ replace_tails(target_relation, compiled_code) }}
        {%- endcall -%}
    {%- else -%}
        {%- if config.get("contract").enforced -%}
            {{ get_assert_columns_equivalent(compiled_code) }}
        {%- endif -%}
        {%- call statement("main") -%}
            create or replace table {{ target_relation }} as
            {{ compiled_code | replace(batch_mark(), "false") }};
            comment on table {{ target_relation }} is '{{ fingerprint(model) }}'
        {%- endcall -%}
        {%- for batch in batches() -%}
            {%- call statement("batch") -%}
                insert into {{ target_relation }}
                {{ compiled_code | replace(batch_mark(), "series_id in (" ~ batch ~ ")") }}
            {%- endcall -%}
        {%- endfor -%}
    {%- endif -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ return({"relations": [target_relation]}) }}
{% endmaterialization %}

{#-
The series of a full build in parts of half a million candles or one series: DuckDB hands a function all lists of a query
at once, so memory would grow with the number of series, and arrays beyond the cache are slow.
-#}
{% macro batches() -%}
    {%- set found = run_query(
        "select string_agg(series_id, ', ') from (select series_id, sum(len(candle_id)) over (order by series_id)"
        ~ " // 500000 as part from " ~ ref("int_candles__lists") ~ " where is_whole) group by part order by part"
    ) -%}
    {{ return(found.columns[0].values()) }}
{%- endmacro %}

{#-
The tails that int_candles__tails names; one whose candles are all gone has no list, only rows to delete.
A delete for each, with constants: DuckDB then reads only the row groups that hold it. A join or an `or` of all
ranges would read all candle ids of the table.
-#}
{% macro replace_tails(target_relation, sql) -%}
    {%- set node = graph.nodes["model.candleworks.int_candles__tails"] -%}
    {%- set tails = run_query(
        "select first_new_id, series_id * 10000000000000 + 9999999999999"
        ~ ' from "' ~ node.database ~ '"."' ~ node.schema ~ '"."' ~ node.alias ~ '"'
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
