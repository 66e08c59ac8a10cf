select * from {{ ref('stg_store__verdicts') }}
