{#- The columns of this model's contract, to select. A number that could not be computed is null: NaN would sort as the
    largest number and win every ranking. -#}
{% macro contract_columns() -%}
    {%- for column in model.columns.values() %}
        {%- if column.data_type == "double" %}
        case when isfinite({{ column.name }}) then {{ column.name }} end as {{ column.name }}
        {%- else %}
        {{ column.name }}
        {%- endif %}
        {{- "," if not loop.last }}
    {%- endfor %}
{%- endmacro %}
