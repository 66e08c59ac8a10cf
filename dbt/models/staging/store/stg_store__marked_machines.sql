select * from {{ source('raw', 'marked_machines') }}
