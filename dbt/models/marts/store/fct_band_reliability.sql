with

forecasts as (

    select * from {{ ref('int_forecasts__scored') }}
    where scored_at is not null and not late

),

levels as (

    select unnest([0.5::double, 0.8::double, 0.95::double]) as level

),

-- forecasts of earlier versions have one level only, in columns of its own
bands as (

    select
        forecasts.*,
        levels.level,
        coalesce(
            json_extract(forecasts.bands, '$."' || levels.level || '"[0]')::double,
            case when forecasts.band_level = levels.level then forecasts.band_low end
        ) as low_edge,
        coalesce(
            json_extract(forecasts.bands, '$."' || levels.level || '"[1]')::double,
            case when forecasts.band_level = levels.level then forecasts.band_high end
        ) as high_edge
    from forecasts
    cross join levels

),

-- each bound of a joint interval is scored as the quantile that leaves half of the remainder outside
evaluated as (

    select
        *,
        actual_low >= low_edge and actual_high <= high_edge as is_held,
        greatest((1 - level) / 2 * (actual_low - low_edge), -(1 + level) / 2 * (actual_low - low_edge)) as low_loss,
        greatest((1 + level) / 2 * (actual_high - high_edge), -(1 - level) / 2 * (actual_high - high_edge)) as high_loss
    from bands
    where low_edge is not null

),

shares as (

    select
        exchange,
        symbol,
        timeframe,
        level,
        count(*) as forecasts,
        avg(is_held::integer) as coverage,
        avg(100 * (low_loss + high_loss) / 2 / open) as pinball_pct
    from evaluated
    group by exchange, symbol, timeframe, level

),

final as (

    select
        *,
        level = 0.8 and forecasts >= 50 and (coverage < 0.7 or coverage > 0.9) as alarm
    from shares

)

select * from final
