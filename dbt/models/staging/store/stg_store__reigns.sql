select * from {{ source('raw', 'reigns') }}
