{#-
An incremental table must not mix rows of an old formula with rows of a new one. Each table carries, as its comment, the
fingerprint of the code that built it: its SQL and lookbacks, those of its upstream models, all macros and functions.
When the code no longer matches, the next run rebuilds the table. Feature groups do not affect each other.

In the comment of a feature table, the fingerprint is followed by the id of its newest rebuild ranges.
-#}

{% macro fingerprint(node, code=none) -%}
    {%- set code = code or built_tables([]).code -%}
    {{ return(local_md5(upstream_code(node, []) | join("|") ~ code ~ var("leader"))) }}
{%- endmacro %}

{#-
State of these models in the warehouse: `stamps`, the comments of their tables; `rows`, their approximate row counts
(exact at the start of a run); `code`, the checksum of the project's functions and macros.
-#}
{% macro built_tables(names) -%}
    {%- set found = run_query(
        "select tables.table_name, tables.comment, tables.estimated_size, code_of_project() from (select 1)"
        ~ " left join duckdb_tables() as tables on tables.comment is not null and tables.database_name = '"
        ~ target.database ~ "' and tables.table_name in ('" ~ names | join("', '") ~ "')"
    ) -%}
    {%- set stamps, rows = {}, {} -%}
    {%- for row in found.rows if row[0] is not none -%}
        {%- do stamps.update({row[0]: row[1]}) -%}
        {%- do rows.update({row[0]: row[2]}) -%}
    {%- endfor -%}
    {{ return({"stamps": stamps, "rows": rows, "code": found.rows[0][3]}) }}
{%- endmacro %}

{#- The code of a node and its upstream models; the code of feature groups does not count for int_candles__featured. -#}
{% macro upstream_code(node, seen) -%}
    {%- set parts = [node.name ~ node.raw_code] -%}
    {%- for column in node.columns.values() -%}
        {%- do parts.append(column.name ~ "=" ~ column.meta.get("lookback", "")) -%}
    {%- endfor -%}
    {%- for unique_id in node.depends_on.nodes if unique_id in graph.nodes and unique_id not in seen -%}
        {%- set parent = graph.nodes[unique_id] -%}
        {%- if not (node.name == "int_candles__featured" and parent.name.startswith("int_features__")) -%}
            {%- do seen.append(unique_id) -%}
            {%- do parts.extend(upstream_code(parent, seen)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(parts) }}
{%- endmacro %}

{#-
True if the tables of all these nodes exist, were built from the current code, and have the rows of
int_candles__featured: an earlier version could empty a feature table and stamp it.
-#}
{% macro are_current(nodes) -%}
    {%- if flags.FULL_REFRESH -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set built = built_tables(nodes | map(attribute="name") | list + ["int_candles__featured"]) -%}
    {%- for node in nodes -%}
        {%- if built.stamps.get(node.name, "").split(" ")[0] != fingerprint(node, built.code) -%}
            {{ return(false) }}
        {%- elif node.config.materialized == "feature_table"
            and built["rows"][node.name] < built["rows"].get("int_candles__featured", 0) -%}
            {{ return(false) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(true) }}
{%- endmacro %}

{#- A model's table by name, without making it a dependency. -#}
{% macro table_of(name) -%}
    {%- set node = graph.nodes["model.candleworks." ~ name] -%}
    {{ return('"' ~ node.database ~ '"."' ~ node.schema ~ '"."' ~ node.alias ~ '"') }}
{%- endmacro %}

{#- Post-hook of int_candles__lists: the id of its rebuild ranges, and whether it also contains all candles. -#}
{% macro stamp_lists() -%}
    {%- if execute -%}
    {%- set tails = built_tables(["int_candles__tails"]).stamps.get("int_candles__tails", "") -%}
    comment on table {{ this }} is '{{ tails }}{{ " all" if a_feature_table_is_stale() }}'
    {%- endif -%}
{%- endmacro %}

{% macro lists_hold_all_candles() -%}
    {{ return(built_tables(["int_candles__lists"]).stamps.get("int_candles__lists", "").endswith(" all")) }}
{%- endmacro %}

{% macro is_current(node) -%}
    {{ return(are_current([node])) }}
{%- endmacro %}

{#- Post-hook of incremental models. -#}
{% macro store_fingerprint() -%}
    {%- if execute -%}
    {%- if should_full_refresh() -%}
        {%- do stamp_columns(this, model.compiled_code) -%}
    {%- endif -%}
    comment on table {{ this }} is '{{ fingerprint(model) }}'
    {%- endif -%}
{%- endmacro %}

{#- Overrides dbt's macro, which checks only the flag and the configuration. -#}
{% macro should_full_refresh() -%}
    {%- set configured = config.get("full_refresh") -%}
    {%- if configured is not none -%}
        {{ return(configured) }}
    {%- endif -%}
    {%- if flags.FULL_REFRESH -%}
        {{ return(true) }}
    {%- endif -%}
    {%- if execute and model.resource_type == "model" and model.config.materialized == "incremental" -%}
        {{ return(not is_current(model)) }}
    {%- endif -%}
    {{ return(false) }}
{%- endmacro %}
