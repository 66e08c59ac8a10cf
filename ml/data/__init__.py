"""What is learnt from: immutable datasets of a series, the targets in them, and simulated markets."""
