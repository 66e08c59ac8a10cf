"""Distributed execution of a sweep: leased chunks with case limits, results, their index, and cost estimates."""
