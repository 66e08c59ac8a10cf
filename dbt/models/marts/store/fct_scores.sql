select * from {{ ref('stg_store__scores') }}
