with

lists as (

    select * from {{ candle_lists() }}

),

candles as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        -- the reference market's candle of the same open time: it is known when this one is
        unnest(candle_id) + (leader_id - series_id) * 10000000000000 as leader_candle_id
    from lists

),

paired as (

    select
        candles.candle_id,
        candles.run_length,
        own.log_return_1,
        own.log_return_24,
        leaders.log_return_1 as leader_log_return_1,
        leaders.log_return_6 as leader_log_return_6,
        leaders.log_return_24 as leader_log_return_24,
        volatility.volatility_24 as leader_volatility_24,
        rsi.rsi_14 as leader_rsi_14,
        volume.volume_ratio_24 as leader_volume_ratio_24
    from candles
    inner join {{ rows_of('returns', 'series_id') }} as own on candles.candle_id = own.candle_id
    left join {{ rows_of('returns', 'leader_id') }} as leaders on candles.leader_candle_id = leaders.candle_id
    left join {{ rows_of('volatility', 'leader_id') }} as volatility on candles.leader_candle_id = volatility.candle_id
    left join {{ rows_of('rsi', 'leader_id') }} as rsi on candles.leader_candle_id = rsi.candle_id
    left join {{ rows_of('volume', 'leader_id') }} as volume on candles.leader_candle_id = volume.candle_id

),

pairs as (

    select
        list(candle_id order by candle_id) as candle_id,
        list(log_return_1 order by candle_id) as log_return_1,
        list(leader_log_return_1 order by candle_id) as leader_log_return_1
    from paired
    group by candle_id // 10000000000000

),

windows as (

    select
        unnest(candle_id) as candle_id,
        unnest(window_correlation(leader_log_return_1, log_return_1, 72)) as correlation_72,
        unnest(window_beta(leader_log_return_1, log_return_1, 72)) as beta_72
    from pairs

),

final as (

    select
        paired.candle_id,
        {{ feature('leader_log_return_1') }},
        {{ feature('leader_log_return_6') }},
        {{ feature('leader_log_return_24') }},
        {{ feature('leader_volatility_24') }},
        {{ feature('leader_rsi_14') }},
        {{ feature('leader_volume_ratio_24') }},
        {{ feature('return_over_leader_1', 'log_return_1 - leader_log_return_1') }},
        {{ feature('return_over_leader_24', 'log_return_24 - leader_log_return_24') }},
        {{ feature('leader_correlation_72', 'correlation_72') }},
        {{ feature('leader_beta_72', 'beta_72') }}
    from paired
    inner join windows on paired.candle_id = windows.candle_id

)

select * from final
