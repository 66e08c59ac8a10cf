"""What happens in the warehouse: dbt over it, and what goes from it into the store and back."""
