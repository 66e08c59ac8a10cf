{#- The machine in a worker's name host:process:start, as `ml.execution.workers.machine_of`: what trust is taken from. -#}
{% macro machine(column) -%}
    regexp_replace({{ column }}, ':[^:]*:[^:]*$', '')
{%- endmacro %}
