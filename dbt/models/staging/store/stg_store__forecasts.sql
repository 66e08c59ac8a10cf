select * from {{ source('raw', 'forecasts') }}
