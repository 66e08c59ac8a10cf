"""Trading: target positions of a rule turned into fills, trades and equity, after costs."""
