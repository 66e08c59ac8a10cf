select * from {{ source('raw', 'latest_scores') }}
