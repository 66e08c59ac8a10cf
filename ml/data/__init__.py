"""Training data: immutable datasets of a series, their targets, and simulated markets."""
