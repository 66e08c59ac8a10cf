with

outside as (

    select * from {{ ref('stg_outside__values') }}

),

markets as (

    select * from {{ ref('stg_exchange__markets') }}

),

own_series as (

    select
        name,
        symbol,
        min(available_at) as first_available_at
    from outside
    where symbol != ''
    group by name, symbol

),

of_market as (

    select
        markets.exchange,
        markets.symbol,
        markets.timeframe,
        outside.name,
        outside.available_at,
        outside.value,
        outside.load_id
    from markets
    inner join outside on markets.symbol = outside.symbol

),

of_all_markets as (

    select
        markets.exchange,
        markets.symbol,
        markets.timeframe,
        outside.name,
        outside.available_at,
        outside.value,
        outside.load_id
    from markets
    inner join outside on outside.symbol = ''
    left join own_series
        on
            markets.symbol = own_series.symbol
            and outside.name = own_series.name
    -- from its first own value on, a market uses only its own; the values for all markets before it stay known
    where outside.available_at < coalesce(own_series.first_available_at, 'infinity'::timestamp)

),

united as (

    select * from of_market
    union all by name
    select * from of_all_markets

),

final as (

    select
        exchange,
        symbol,
        timeframe,
        name,
        available_at,
        value,
        max(load_id) over (
            partition by {{ series() }}, name
            order by available_at
        ) as load_id_so_far
    from united

)

select * from final
