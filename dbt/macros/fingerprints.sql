{#-
An incremental table must not mix rows of an old formula with rows of a new one. Each carries, as its comment, the
fingerprint of its own SQL and of all models above it; when that no longer fits, the next run rebuilds it in full.
Macros are not part of the fingerprint: after a change in macros/ or plugins/ run dbt with --full-refresh.
-#}

{% macro fingerprint(node) -%}
    {%- set parts = [] -%}
    {%- set seen = [] -%}
    {%- set queue = [node.unique_id] -%}
    {#- jinja has no while: the graph has fewer levels than nodes -#}
    {%- for _ in graph.nodes -%}
        {%- for unique_id in queue if unique_id not in seen and unique_id in graph.nodes -%}
            {%- do seen.append(unique_id) -%}
            {%- for parent in graph.nodes[unique_id].depends_on.nodes -%}
                {%- do queue.append(parent) -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for unique_id in seen | unique | sort -%}
        {%- set found = graph.nodes[unique_id] -%}
        {%- do parts.append(found.name ~ found.raw_code) -%}
        {%- for column in found.columns.values() -%}
            {%- do parts.append(column.name ~ "=" ~ column.meta.get("lookback", "")) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(local_md5(parts | join("|") ~ var("feature_groups") | join(","))) }}
{%- endmacro %}

{% macro stored_fingerprint(node) -%}
    {%- set found = run_query(
        "select comment from duckdb_tables() where database_name = '" ~ node.database
        ~ "' and schema_name = '" ~ node.schema ~ "' and table_name = '" ~ node.name ~ "'"
    ) -%}
    {{ return(found.columns[0].values() | first if found.rows | length else none) }}
{%- endmacro %}

{#- True when the table of this node is there and was built by the SQL that stands in the project now. -#}
{% macro is_current(node) -%}
    {{ return(not flags.FULL_REFRESH and stored_fingerprint(node) == fingerprint(node)) }}
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
