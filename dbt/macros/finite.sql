{#- A metric that could not be computed is null: NaN would sort as the largest number and win every ranking. -#}
{% macro finite(column) -%}
    case when isfinite({{ column }}) then {{ column }} end as {{ column }}
{%- endmacro %}
