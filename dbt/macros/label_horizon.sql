{#- Candles from a row to the last one that a target's labels need: the number in ml/data/targets.py, which splits keep
    as their distance, so that a label and its purge cannot differ. Unit tests give shorter ones:
    `vars: {label_horizons: {closes_100: 3}}`. -#}
{%- macro label_horizon(target) -%}
    {%- set given = var('label_horizons', {}).get(target) -%}
    {%- if given or not execute -%}
        {{- return(given or 2) -}} {#- nothing is run while dbt parses -#}
    {%- endif -%}
    {{- return(run_query("select label_horizon('" ~ target ~ "')").columns[0].values()[0] | int) -}}
{%- endmacro -%}
