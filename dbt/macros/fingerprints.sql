{#-
An incremental table must not mix rows of an old formula with rows of a new one. Each carries, as its comment, the
fingerprint of what it was made with: its SQL and its lookbacks, those of the models above it, all macros and functions.
When that no longer fits, the next run rebuilds it. A group of features leaves the other groups alone.

A comment may go on behind the fingerprint: that of a table of features with the id of the newest tails that it has.
-#}

{% macro fingerprint(node, code=none) -%}
    {%- set code = code or built_tables([]).code -%}
    {{ return(local_md5(upstream_code(node, []) | join("|") ~ code ~ var("leader"))) }}
{%- endmacro %}

{#-
What the warehouse holds of these models: `stamps`, the comments of their tables, `rows`, about how many each has (exact
at the begin of a run), and `code`, the checksum of the project's functions and macros.
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

{#- What this node and the models above it say; the candles do not depend on the groups of features above them. -#}
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
True when the tables of all these nodes are there, were built by what stands in the project now, and have the rows of
int_candles__featured: an earlier version could empty a table of features and stamp it.
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

{#- A model's table by name, for what reads it without depending on it. -#}
{% macro table_of(name) -%}
    {%- set node = graph.nodes["model.candleworks." ~ name] -%}
    {{ return('"' ~ node.database ~ '"."' ~ node.schema ~ '"."' ~ node.alias ~ '"') }}
{%- endmacro %}

{#- Post-hook of int_candles__lists: which tails it was made of, and whether it holds all candles besides. -#}
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

{#- Overrides dbt's own, which knows only the flag and the configuration. -#}
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
