select * from {{ source('raw', 'trading_equity') }}
