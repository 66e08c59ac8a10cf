-- fct_features joins the groups: a candle missing or duplicated in one of them would be missing or duplicated there.
{{ config(tags=['candles']) }}

with

groups as (

    {% for group in var('feature_groups') %}
        select
            '{{ group }}' as feature_group,
            count(*) as candles,
            bit_xor(hash(candle_id)) as checksum
        from {{ ref('int_features__' ~ group) }}
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

featured as (

    select
        count(*) as candles,
        bit_xor(hash(candle_id)) as checksum
    from {{ ref('int_candles__featured') }}

),

final as (

    select groups.*
    from groups
    cross join featured
    where (groups.candles, groups.checksum) is distinct from (featured.candles, featured.checksum)

)

select * from final
