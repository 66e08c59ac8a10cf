"""Execution of chunks: worker processes of this machine, and Prefect work pools for workers on any machine."""
