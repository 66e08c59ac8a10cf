"""Terminal output: tables and JSON of the published snapshot and of the store."""
