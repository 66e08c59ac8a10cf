"""Benchmarks: ours against a reference in the same run, one JSON line each. Nothing here is asserted."""
