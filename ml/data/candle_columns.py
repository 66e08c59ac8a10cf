"""Columns of candles (n, 5), by number; those of labels (n, 3), which have no open, are in `ml.data.targets`."""

OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)
