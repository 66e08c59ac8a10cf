"""The data-quality gate: Great Expectations suites over batches of candles, and detectors of named defects.

`gate.check_batch` is the entry point; importing it is cheap: its first call imports Great Expectations (seconds).
"""
