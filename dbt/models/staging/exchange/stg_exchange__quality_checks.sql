select * from {{ source('raw', 'quality_checks') }}
