with

forecasts as (

    select
        *,
        target_close_time - target_open_time as length,
        ln(high / low) as expected_range
    from {{ ref('int_forecasts__scored') }}

),

-- the open of a forecast is the last known close: it moved since the forecast before, if that was for the candle before
moves as (

    select
        *,
        case
            when target_open_time - lag(target_open_time) over series = length
                then abs(ln(open / lag(open) over series))
        end as move
    from forecasts
    window series as (partition by exchange, symbol, timeframe order by target_open_time)

),

scored as (

    select
        *,
        quantile_cont(move, 0.95) over (partition by exchange, symbol, timeframe) as jump,
        ntile(5) over (partition by exchange, symbol, timeframe order by expected_range, target_open_time) as fifth
    from moves
    where scored_at is not null and not late and band_level = 0.8

),

grouped as (

    select
        exchange,
        symbol,
        timeframe,
        if(length < interval 1 day, 'hour', 'weekday') as grouped_by,
        if(length < interval 1 day, extract(hour from target_open_time), extract(isodow from target_open_time))
            as group_number,
        covered
    from scored
    union all
    select
        exchange,
        symbol,
        timeframe,
        'volatility' as grouped_by,
        fifth as group_number,
        covered
    from scored
    union all
    select
        exchange,
        symbol,
        timeframe,
        'jump' as grouped_by,
        (move > 0 and move >= jump)::bigint as group_number,
        covered
    from scored
    where move is not null

),

shares as (

    select
        exchange,
        symbol,
        timeframe,
        grouped_by,
        group_number,
        count(*) as forecasts,
        avg(covered::integer) as coverage
    from grouped
    group by exchange, symbol, timeframe, grouped_by, group_number

),

-- among hundreds of groups chance alone leaves 70 to 90 % of 50 candles every day, 3.5 standard errors hardly ever
final as (

    select
        *,
        case grouped_by
            when 'hour' then lpad(group_number::varchar, 2, '0') || ':00 UTC'
            when 'weekday' then dayname(date '2023-12-31' + group_number::integer)
            when 'volatility' then 'fifth ' || group_number || ' of volatility'
            else if(group_number = 1, 'after a jump', 'after no jump')
        end as group_name,
        sqrt(coverage * (1 - coverage) / forecasts) as coverage_se,
        forecasts >= 50 and abs(coverage - 0.8) > greatest(0.1, 3.5 * sqrt(0.8 * 0.2 / forecasts)) as alarm
    from shares

)

select * from final
