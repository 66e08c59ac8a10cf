"""Where work is done: worker processes of this machine, and Prefect work pools for workers anywhere."""
