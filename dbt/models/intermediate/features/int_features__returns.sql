with

lists as (

    select * from {{ candle_lists() }}

),

indicators as (

    select
        unnest(candle_id) as candle_id,
        unnest(run_length) as run_length,
        unnest(vec_log_return(close, 1)) as log_return_1,
        unnest(vec_log_return(close, 2)) as log_return_2,
        unnest(vec_log_return(close, 3)) as log_return_3,
        unnest(vec_log_return(close, 6)) as log_return_6,
        unnest(vec_log_return(close, 12)) as log_return_12,
        unnest(vec_log_return(close, 24)) as log_return_24
    from lists

),

final as (

    select
        candle_id,
        {{ feature('log_return_1') }},
        {{ feature('log_return_2') }},
        {{ feature('log_return_3') }},
        {{ feature('log_return_6') }},
        {{ feature('log_return_12') }},
        {{ feature('log_return_24') }}
    from indicators

)

select * from final
