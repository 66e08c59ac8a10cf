select * from {{ source('raw', 'signals') }}
