select * from {{ source('raw', 'verdicts') }}
