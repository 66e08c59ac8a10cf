{#- The key of a series; `alias` puts a table's name before each column. -#}
{% macro series(alias=none) -%}
    {%- set prefix = alias ~ "." if alias else "" -%}
    {{ prefix }}exchange, {{ prefix }}symbol, {{ prefix }}timeframe
{%- endmacro %}
