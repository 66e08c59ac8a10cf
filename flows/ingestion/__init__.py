"""From the outside world into raw: candles of exchanges and outside series, through the quality gate."""
