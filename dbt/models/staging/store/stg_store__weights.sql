select * from {{ source('raw', 'weights') }}
