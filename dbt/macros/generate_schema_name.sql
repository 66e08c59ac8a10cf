{#- A layer's schema has the layer's name (staging, intermediate, marts), without the profile's schema as prefix. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name if custom_schema_name else target.schema }}
{%- endmacro %}
