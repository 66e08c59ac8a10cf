select * from {{ source('raw', 'scores') }}
