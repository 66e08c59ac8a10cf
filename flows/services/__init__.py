"""Processes, ports, the Prefect server, work pools and deployments: what has to run before a flow can."""
