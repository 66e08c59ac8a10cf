"""Services around the flows: the Prefect server, work pools and deployments, and the fleet that `up` keeps alive."""
