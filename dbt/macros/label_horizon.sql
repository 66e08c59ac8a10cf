{#- Candles from a row to the last one that a target's labels need, as in ml/data/targets.py. Splits purge by the same
    number, so label and purge cannot differ. Unit tests set shorter ones:
    `vars: {label_horizons: {closes_100: 3}}`. -#}
{%- macro label_horizon(target) -%}
    {%- set given = var('label_horizons', {}).get(target) -%}
    {%- if given or not execute -%}
        {{- return(given or 2) -}} {#- dbt runs no query while it parses -#}
    {%- endif -%}
    {{- return(run_query("select label_horizon('" ~ target ~ "')").columns[0].values()[0] | int) -}}
{%- endmacro -%}
