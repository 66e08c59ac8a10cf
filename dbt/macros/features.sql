{#-
One column of a feature model: null unless `run_length` says that no gap lies inside its lookback. The lookback stands
in the column's meta in the model's YAML and nowhere else; recursive indicators give the number of rows after which
their start is forgotten.
-#}
{% macro feature(column, expression) -%}
    case when run_length >= {{ lookback(column) }} then {{ expression }} end as {{ column }}
{%- endmacro %}

{% macro lookback(column) -%}
    {%- if not execute -%}
        {{ return(1) }}
    {%- endif -%}
    {%- set described = model.columns.get(column) -%}
    {%- if described is none or "lookback" not in described.meta -%}
        {{ exceptions.raise_compiler_error(
            "Column " ~ column ~ " of " ~ model.name ~ " has no lookback. Add it under meta in the model's YAML."
        ) }}
    {%- endif -%}
    {{ return(described.meta["lookback"]) }}
{%- endmacro %}

{#- The frame of the last `rows` candles, this one included. -#}
{% macro past(rows) -%}
    (partition by series_number order by open_time rows between {{ rows - 1 }} preceding and current row)
{%- endmacro %}

{#- Candles to read before the first changed one: twice the longest lookback, so that recursive starts are forgotten. -#}
{% macro warm_up_rows() -%}
    {%- set lookbacks = [1] -%}
    {%- if execute -%}
        {%- for node in graph.nodes.values() if node.name.startswith("int_features__") -%}
            {%- for column in node.columns.values() if "lookback" in column.meta -%}
                {%- do lookbacks.append(column.meta["lookback"]) -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(2 * lookbacks | max) }}
{%- endmacro %}

{#- The watermark of each series in fct_features, read from above it; no rows when that table will be built anew. -#}
{% macro written_features() -%}
    {%- set features = graph.nodes.get("model.candleworks.fct_features") if execute else none -%}
    {%- if features is not none and is_current(features) -%}
    select exchange, symbol, timeframe, max(load_id) as load_id
    from "{{ features.database }}"."{{ features.schema }}"."{{ features.name }}"
    group by exchange, symbol, timeframe
    {%- else -%}
    select null::varchar as exchange, null::varchar as symbol, null::varchar as timeframe, null::bigint as load_id
    where false
    {%- endif -%}
{%- endmacro %}
