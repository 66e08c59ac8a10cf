with

markets as (

    select * from {{ ref('stg_exchange__markets') }}

),

leaders as (

    -- one market per exchange, which the features of the others may use
    select
        exchange,
        min(symbol) as symbol
    from markets
    where split_part(symbol, '/', 1) = '{{ var("leader") }}'
    group by exchange

),

final as (

    select
        markets.series_id,
        markets.exchange,
        markets.symbol,
        markets.timeframe,
        markets.timeframe_ms,
        markets.base_timeframe,
        markets.base_ms,
        leader.series_id as leader_id,
        larger.series_id as larger_id,
        larger.timeframe_ms as larger_ms
    from markets
    left join leaders
        on markets.exchange = leaders.exchange
    left join markets as leader
        on
            leaders.exchange = leader.exchange
            and leaders.symbol = leader.symbol
            and markets.timeframe = leader.timeframe
    left join markets as larger
        on
            markets.exchange = larger.exchange
            and markets.symbol = larger.symbol
            and markets.timeframe_ms < larger.timeframe_ms
    -- the next higher configured timeframe, preferably one that is a multiple of this one
    qualify
        row_number() over (
            partition by markets.series_id
            order by larger.timeframe_ms % markets.timeframe_ms = 0 desc, larger.timeframe_ms
        ) = 1

)

select * from final
