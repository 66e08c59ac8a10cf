{#-
At the end of a run that built only some of the candle models: warns of tables that are stale or lack the newest
candles. The flows build all of them, which gives no warning.
-#}
{% macro say_what_is_left() -%}
    {%- if execute and some_candle_models_were_left_out(results | map(attribute="node.unique_id") | list) -%}
        {%- set nodes = graph.nodes.values()
            | selectattr("config.materialized", "in", ["feature_table", "incremental"]) | list -%}
        {%- set built = built_tables(nodes | map(attribute="name") | list + ["int_candles__tails"]) -%}
        {%- set stale, behind, tails = [], [], built.stamps.get("int_candles__tails", "") -%}
        {%- for node in nodes -%}
            {%- set fingerprint_of_table, _, tails_of_table = built.stamps.get(node.name, "").partition(" ") -%}
            {%- if fingerprint_of_table and fingerprint_of_table != fingerprint(node, built.code) -%}
                {%- do stale.append(node.name) -%}
            {%- elif fingerprint_of_table and node.config.materialized == "feature_table" and tails_of_table != tails -%}
                {%- do behind.append(node.name) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if stale -%}
            {%- do exceptions.warn(
                "Built from earlier code than the project has now: " ~ in_short(stale)
                ~ ". This builds them anew: dbt build --select tag:candles"
            ) -%}
        {%- endif -%}
        {%- if behind -%}
            {%- do exceptions.warn(
                "Without the newest candles, which other tables have: " ~ in_short(behind)
                ~ ". This brings them: dbt build --select tag:candles"
            ) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- Names for a message: the first three and the number of others. -#}
{% macro in_short(names) -%}
    {%- set names = names | sort -%}
    {{ return(names[:3] | join(", ") ~ (" and " ~ (names | length - 3) ~ " more" if names | length > 3 else "")) }}
{%- endmacro %}

{#- Whether a run built some of the candle models, but not all. -#}
{% macro some_candle_models_were_left_out(built) -%}
    {%- set models = graph.nodes.values() | selectattr("resource_type", "equalto", "model")
        | rejectattr("config.materialized", "equalto", "ephemeral") | list -%}
    {%- set with_tag, left_out = [], [] -%}
    {%- for node in models if "candles" in node.tags -%}
        {%- do (with_tag if node.unique_id in built else left_out).append(node.name) -%}
    {%- endfor -%}
    {{ return(with_tag != [] and left_out != []) }}
{%- endmacro %}
