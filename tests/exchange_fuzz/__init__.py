"""Loads from exchanges that answer anything, held against the truth.

    check(1000, seed=0)     # plays so many examples; raises with the smallest one that breaks a promise

An example is a market whose candles are known, one of the families of tests/fakes that shows them, and some loads over
one warehouse with mutated answers (strategies.py, mutations.py). Nothing leaves the process and nothing waits
(transport.py). After each load what is stored and what the load says is held against the truth, and in the end, after
loads without mutations, everything must be there (oracle.py, runner.py).
"""

from tests.exchange_fuzz.runner import check, drill, play

__all__ = ["check", "drill", "play"]
