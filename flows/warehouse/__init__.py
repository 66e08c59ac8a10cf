"""The warehouse: dbt, export of datasets to the store, and loading of the store's files."""
