{#-
Generic test: the combination of these columns is unique, and none of them is null. It has the name of the dbt_utils
test, by which project evaluators recognise a key.
-#}
{% test unique_combination_of_columns(model, combination_of_columns) %}
select {{ combination_of_columns | join(", ") }}, count(*) as occurrences
from {{ model }}
group by {{ combination_of_columns | join(", ") }}
having count(*) > 1
{%- for column in combination_of_columns %} or {{ column }} is null{% endfor %}
{% endtest %}
