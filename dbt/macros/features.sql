{#-
One column of a feature model: null unless `run_length` says that no gap lies inside its lookback, and where the formula
gives no number. The lookback stands in the column's meta in the model's YAML and nowhere else; recursive indicators give
the number of rows after which their start is forgotten.
-#}
{% macro feature(column, expression=none) -%}
    {%- set value = expression or column -%}
    case when run_length >= {{ lookback(column) }} and isfinite({{ value }}) then {{ value }} end as {{ column }}
{%- endmacro %}

{#- A column that says which of a few states holds: -1, 0, 1 ... in one byte. -#}
{% macro state_feature(column, expression=none) -%}
    case when run_length >= {{ lookback(column) }} then ({{ expression or column }})::tinyint end as {{ column }}
{%- endmacro %}

{% macro lookback(column) -%}
    {#- a unit test does not know the YAML: it gives the lookback as an override of this macro -#}
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
Where a feature model takes its candles from: int_candles__lists, one row per series. A model whose table is up to date
gets the tails of the series that changed, and before them as many candles as its own columns need to warm up; a new or
changed one all candles, also where it is built alone and the lists hold tails only.
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

{#- All candles of each market, as int_candles__lists asks for them. -#}
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

{#- For each row of `wanted` its candles (no gaps) from warm_up_start on, as lists in order of time. -#}
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

{#- By this feature_table knows again that the model was compiled for the tails. -#}
{% macro tail_mark() -%}
    /* tails */ is_tail
{%- endmacro %}

{#- Where feature_table names the series of a batch; as it stands, all. -#}
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

{#- Candles to read before the first changed one: twice the longest lookback, so that recursive starts are forgotten. -#}
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

{#- For each series what its features were made of: the newest load, the base, the leader and the larger timeframe. -#}
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

{#- Has dbt build the model that calls it after the models of all groups. -#}
{% macro after_all_groups() -%}
    {%- for group in var("feature_groups") -%}
        {%- do ref("int_features__" ~ group) -%}
    {%- endfor -%}
{%- endmacro %}

{#-
The rows of another group that the series named by a column of the lists (leader_id, larger_id) may be asked for: a join
with the whole table would sort it into memory for every batch.
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

{#- How an outside series joins: while nothing of it is loaded, without sorting all candles for an as-of join. -#}
{% macro asof_where_loaded(name) -%}
    {%- set values = ref("stg_outside__values") -%}
    {%- if execute and model.resource_type == "model" -%}
        {#- the documentation is also made where nothing has been built yet -#}
        {%- if load_relation(values) is none -%}
            {{ return("left") }}
        {%- endif -%}
        {%- set loaded = run_query("select count(*) from " ~ values ~ " where name = '" ~ name ~ "'") -%}
        {{ return("asof left" if loaded.columns[0].values() | first else "left") }}
    {%- endif -%}
    {{ return("asof left") }}
{%- endmacro %}
