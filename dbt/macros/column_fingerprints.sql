{#-
A fingerprint per column, in its comment: a hash of everything that the column is computed from, down to the loaded
candles, without comments and formatting (flows/warehouse/column_lineage.py). Exports copy it into datasets, so that
results, models and forecasts record the features that they were made with. Tables are stamped when they are fully
rebuilt, views when they are created.
-#}

{% macro stamp_columns(relation, sql) -%}
    {%- set found = run_query(
        "select column_fingerprints('" ~ sql | replace("'", "''") ~ "', (" ~ stamped_columns() ~ "), ("
        ~ sql_of_views() ~ "))"
    ) -%}
    {%- set statements = [] -%}
    {%- for name, value in fromjson(found.rows[0][0]).items() -%}
        {%- do statements.append(
            "comment on column " ~ relation ~ "." ~ adapter.quote(name) ~ " is 'fingerprint " ~ value ~ "'"
        ) -%}
    {%- endfor -%}
    {%- call statement("stamp_columns") -%}
        {{ statements | join(";\n") }}
    {%- endcall -%}
{%- endmacro %}

{#- Post-hook of views whose columns go into datasets. -#}
{% macro stamp_view() -%}
    {%- if execute -%}
        {%- do stamp_columns(this, model.compiled_code) -%}
    {%- endif -%}
{%- endmacro %}

{#- JSON: table -> column -> fingerprint. -#}
{% macro stamped_columns() -%}
    select coalesce(json_group_object(table_name, stamps), '{}')
    from (
        select columns.table_name, json_group_object(columns.column_name, columns.comment) as stamps
        from duckdb_columns() as columns
        inner join duckdb_tables() as tables using (database_name, schema_name, table_name)
        where columns.comment like 'fingerprint %' and database_name = '{{ target.database }}'
        group by columns.table_name
    )
{%- endmacro %}

{#- JSON: view -> SQL. -#}
{% macro sql_of_views() -%}
    select coalesce(json_group_object(view_name, sql), '{}')
    from duckdb_views()
    where not internal and database_name = '{{ target.database }}'
{%- endmacro %}
