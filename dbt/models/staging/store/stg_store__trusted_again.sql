select * from {{ source('raw', 'trusted_again') }}
