select * from {{ ref('stg_exchange__quarantine') }}
