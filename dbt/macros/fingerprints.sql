{#-
An incremental table must not mix rows of an old formula with rows of a new one. Each carries, as its comment, the
fingerprint of what it was made with: its SQL and its lookbacks, those of the models above it, all macros and functions.
When that no longer fits, the next run rebuilds it. A group of features leaves the other groups alone.
-#}

{% macro fingerprint(node, code=none) -%}
    {%- set code = code or run_query("select code_of_project()").columns[0].values() | first -%}
    {{ return(local_md5(upstream_code(node, []) | join("|") ~ code ~ var("leader"))) }}
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

{#- True when the tables of all these nodes are there and were built by what stands in the project now. -#}
{% macro are_current(nodes) -%}
    {%- if flags.FULL_REFRESH -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set found = run_query(
        "select database_name || '.' || schema_name || '.' || table_name, comment, code_of_project()"
        ~ " from duckdb_tables() where comment is not null"
    ) -%}
    {%- set stored = {} -%}
    {%- for row in found.rows -%}
        {%- do stored.update({row[0]: row[1]}) -%}
    {%- endfor -%}
    {%- for node in nodes -%}
        {%- set comment = stored.get(node.database ~ "." ~ node.schema ~ "." ~ node.name) -%}
        {%- if comment is none or comment != fingerprint(node, found.rows[0][2]) -%}
            {{ return(false) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(true) }}
{%- endmacro %}

{% macro is_current(node) -%}
    {{ return(are_current([node])) }}
{%- endmacro %}

{#- Post-hook of incremental models. -#}
{% macro store_fingerprint() -%}
    {%- if execute -%}
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
