"""The warehouse: its database file, dbt over it, and what goes from it into the store and back."""
