"""The data-quality gate: Great Expectations suites over batches of candles, and the defects it knows by name.

`gate.check_batch` is the entry; importing it is cheap: its first call imports Great Expectations (seconds).
"""
