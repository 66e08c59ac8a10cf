{#- The machine in a worker's name host:process:start, as `ml.execution.workers.machine_of`: trust is per machine. -#}
{% macro machine(column) -%}
    regexp_replace({{ column }}, ':[^:]*:[^:]*$', '')
{%- endmacro %}
