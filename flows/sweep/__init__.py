"""A sweep: what is to be tried, how it is spread over the pools, and how far it is."""
