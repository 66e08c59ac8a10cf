select * from {{ source('raw', 'rules') }}
