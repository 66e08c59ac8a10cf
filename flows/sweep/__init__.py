"""A sweep: its cases, their distribution over the pools, and its progress."""
