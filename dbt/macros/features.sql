{#-
One column of a feature model: null where `run_length` shows a gap inside its lookback or the formula gives no number.
The lookback is declared only in the column's meta in the model's YAML; for a recursive indicator it is the number of
rows after which its initial value no longer matters.
-#}
{% macro feature(column, expression=none) -%}
    {%- set value = expression or column -%}
    case when run_length >= {{ lookback(column) }} and isfinite({{ value }}) then {{ value }} end as {{ column }}
{%- endmacro %}

{#- A column that tolerates gaps: its function says where too little of its span is known. Its meta says
    `tolerant: true`; its lookback is the length of the span. -#}
{% macro tolerant_feature(column, expression=none) -%}
    {%- set value = expression or column -%}
    case when isfinite({{ value }}) then {{ value }} end as {{ column }}
{%- endmacro %}

{#- A column with a few states (-1, 0, 1 ...), in one byte. -#}
{% macro state_feature(column, expression=none) -%}
    case when run_length >= {{ lookback(column) }} then ({{ expression or column }})::tinyint end as {{ column }}
{%- endmacro %}

{% macro lookback(column) -%}
    {#- a unit test does not see the YAML: it overrides this macro to set the lookback -#}
    {%- if not execute or model.resource_type == "unit_test" -%}
        {{ return(1) }}
    {%- endif -%}
    {%- set described = model.columns.get(column) -%}
    {%- if described is none or "lookback" not in described.meta -%}
        {{ exceptions.raise_compiler_error(
            "Column " ~ column ~ " of " ~ model.name ~ " has no lookback. Add it under meta in the model's YAML."
        ) }}
    {%- endif -%}
    {{ return(described.meta["lookback"]) }}
{%- endmacro %}

{#-
The candles of a feature model, from int_candles__lists, one row per series. A model whose table is current gets the
rebuild ranges of the changed series, preceded by twice the longest lookback of its own columns; a new or changed model
gets all candles, even if it is built alone and the lists contain only rebuild ranges.
-#}
{% macro candle_lists() -%}
    {%- set lists = ref("int_candles__lists") -%}
    {%- if not execute or model.resource_type == "unit_test" -%}
        {{ lists }}
    {%- elif is_current(model) -%}
        (
            select
                * replace (
                    {% for list in ["candle_id", "run_length", "load_id", "open", "high", "low", "close", "volume"] -%}
                    {{ list }}[-(
                        (candle_id[-1] - first_new_id) // timeframe_ms + 1 + {{ 2 * longest_lookback([model]) }}
                    ):] as {{ list }}{{ "," if not loop.last }}
                    {% endfor %}
                )
            from {{ lists }}
            where {{ tail_mark() }}
        )
    {%- elif lists_hold_all_candles() -%}
        (select * from {{ lists }} where is_whole and {{ batch_mark() }})
    {%- else -%}
        (
            with wanted as (
                select * from ({{ whole_series(table_of("dim_markets")) }}) where {{ batch_mark() }}
            )

            {{ candles_as_lists("wanted", table_of("fct_candles")) }}
        )
    {%- endif -%}
{%- endmacro %}

{#- All candles of each market, in the form of `wanted` in int_candles__lists. -#}
{% macro whole_series(markets) -%}
    select
        series_id, exchange, symbol, timeframe, timeframe_ms, base_ms, leader_id, larger_id, larger_ms,
        null::bigint as seen_load_id,
        0 as first_new_id,
        '-infinity'::timestamp as warm_up_start,
        true as is_whole,
        false as is_tail
    from {{ markets }}
{%- endmacro %}

{#- For each row of `wanted`, its candles (no gaps) from warm_up_start on, as lists in chronological order. -#}
{% macro candles_as_lists(wanted, candles) -%}
    select
        wanted.* exclude (warm_up_start),
        collected.candles.candle_id,
        collected.candles.run_length,
        collected.candles.load_id,
        collected.candles.open,
        collected.candles.high,
        collected.candles.low,
        collected.candles.close,
        collected.candles.volume
    from {{ wanted }} as wanted
    inner join (
        select
            wanted.series_id,
            wanted.is_tail,
            candles_in_order(list({
                'candle_id': wanted.series_id * 10000000000000 + epoch_ms(candles.open_time),
                'run_length': candles.run_length,
                'load_id': candles.load_id,
                'open': candles.open,
                'high': candles.high,
                'low': candles.low,
                'close': candles.close,
                'volume': candles.volume
            })) as candles
        from {{ wanted }} as wanted
        inner join {{ candles }} as candles
            on
                wanted.exchange = candles.exchange
                and wanted.symbol = candles.symbol
                and wanted.timeframe = candles.timeframe
                and wanted.warm_up_start <= candles.open_time
        where not candles.is_gap
        group by wanted.series_id, wanted.is_tail
    ) as collected
        on wanted.series_id = collected.series_id and wanted.is_tail = collected.is_tail
{%- endmacro %}

{#- By this mark feature_table recognises a model that was compiled for the rebuild ranges. -#}
{% macro tail_mark() -%}
    /* tails */ is_tail
{%- endmacro %}

{#- feature_table replaces this mark with the series of a batch; unreplaced, it selects all series. -#}
{% macro batch_mark() -%}
    /* batch */ true
{%- endmacro %}

{% macro feature_models() -%}
    {{ return(graph.nodes.values() | selectattr("resource_type", "equalto", "model")
        | selectattr("config.materialized", "equalto", "feature_table") | list) }}
{%- endmacro %}

{% macro a_feature_table_is_stale() -%}
    {{ return(execute and model.resource_type == "model" and not are_current(feature_models())) }}
{%- endmacro %}

{#-
Candles to read before the first changed one: twice the longest lookback, so that the initial values of recursive
indicators no longer matter.
-#}
{% macro warm_up_rows() -%}
    {{ return(2 * longest_lookback(feature_models() if execute else [])) }}
{%- endmacro %}

{% macro longest_lookback(models) -%}
    {%- set lookbacks = [1] -%}
    {%- for node in models -%}
        {%- for column in node.columns.values() if "lookback" in column.meta -%}
            {%- do lookbacks.append(column.meta["lookback"]) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(lookbacks | max) }}
{%- endmacro %}

{#- Inputs of the features of each series: newest load, base, reference market and higher timeframe. -#}
{% macro written_features() -%}
    {%- set featured = graph.nodes.get("model.candleworks.int_candles__featured") if execute else none -%}
    {%- if featured is not none and is_current(featured) -%}
    select
        candle_id // 10000000000000 as series_id,
        max(candle_id) as last_candle_id,
        max(seen_load_id) as seen_load_id,
        arg_max(base_ms, seen_load_id) as base_ms,
        arg_max(leader_id, seen_load_id) as leader_id,
        arg_max(larger_id, seen_load_id) as larger_id
    from {{ table_of(featured.name) }}
    group by candle_id // 10000000000000
    {%- else -%}
    select
        null::bigint as series_id, null::bigint as last_candle_id, null::bigint as seen_load_id,
        null::bigint as base_ms, null::bigint as leader_id, null::bigint as larger_id
    where false
    {%- endif -%}
{%- endmacro %}

{#- Makes the calling model depend on the models of all groups. -#}
{% macro after_all_groups() -%}
    {%- for group in var("feature_groups") -%}
        {%- do ref("int_features__" ~ group) -%}
    {%- endfor -%}
{%- endmacro %}

{#-
The rows of another group within the range of the series in a column of the lists (leader_id, larger_id): a join with
the whole table would sort it into memory for every batch.
-#}
{% macro rows_of(group, series) -%}
    (
        select * from {{ ref("int_features__" ~ group) }}
        where
            candle_id >= (
                select min(
                    lists.{{ series }} * 10000000000000 + lists.candle_id[1] % 10000000000000
                    - 2 * coalesce(lists.larger_ms, 0)
                )
                from lists
            )
            and candle_id <= (select max(lists.{{ series }}) * 10000000000000 + 9999999999999 from lists)
    )
{%- endmacro %}

{#- The join of an exogenous series: an as-of join sorts all candles, so only once values are loaded. -#}
{% macro asof_where_loaded(name) -%}
    {%- set values = ref("stg_outside__values") -%}
    {%- if execute and model.resource_type == "model" -%}
        {#- the documentation is also generated before anything has been built -#}
        {%- if load_relation(values) is none -%}
            {{ return("left") }}
        {%- endif -%}
        {%- set loaded = run_query("select count(*) from " ~ values ~ " where name = '" ~ name ~ "'") -%}
        {{ return("asof left" if loaded.columns[0].values() | first else "left") }}
    {%- endif -%}
    {{ return("asof left") }}
{%- endmacro %}
