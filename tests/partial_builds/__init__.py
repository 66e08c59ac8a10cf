"""Runs of parts of the dbt project, or broken off ones, held against a full build: for the tests and for `make drill`."""
