select * from {{ source('raw', 'loads') }}
