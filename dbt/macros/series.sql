{#- The key columns of a series; `alias` qualifies each with the name of a table. -#}
{% macro series(alias=none) -%}
    {%- set prefix = alias ~ "." if alias else "" -%}
    {{ prefix }}exchange, {{ prefix }}symbol, {{ prefix }}timeframe
{%- endmacro %}
