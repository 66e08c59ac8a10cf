{#-
Generic test: no two rows share the values of these columns, and none of them is null. It is called as that of dbt_utils
is, by which evaluators know a key.
-#}
{% test unique_combination_of_columns(model, combination_of_columns) %}
select {{ combination_of_columns | join(", ") }}, count(*) as occurrences
from {{ model }}
group by {{ combination_of_columns | join(", ") }}
having count(*) > 1
{%- for column in combination_of_columns %} or {{ column }} is null{% endfor %}
{% endtest %}
