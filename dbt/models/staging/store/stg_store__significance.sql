select * from {{ source('raw', 'significance') }}
