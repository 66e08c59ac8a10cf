select * from {{ source('raw', 'active_signals') }}
