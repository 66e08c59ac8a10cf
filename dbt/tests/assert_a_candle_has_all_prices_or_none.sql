-- A row without any price withdraws the candle; a row with only some prices is neither a candle nor a withdrawal.
{{ config(tags=['candles']) }}

with

candles as (

    select * from {{ source('raw', 'candles') }}

),

final as (

    select *
    from candles
    where
        (open is null or high is null or low is null or close is null or volume is null)
        and not (open is null and high is null and low is null and close is null and volume is null)

)

select * from final
