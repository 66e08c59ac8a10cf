select * from {{ source('raw', 'trading_figures') }}
