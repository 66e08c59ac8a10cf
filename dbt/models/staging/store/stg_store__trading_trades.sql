select * from {{ source('raw', 'trading_trades') }}
