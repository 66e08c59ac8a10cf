"""A test of the selection itself: all its steps on simulated markets with a known truth."""
