"""One module a group of features, named as the group: its columns once more, without any of the SQL or its functions.

`features(c)` takes the candles that are there (no gap rows) as arrays (n,) and returns each column of the group (n,),
NaN where it is not known yet. It is written from the formula with NumPy, SciPy and TA-Lib; it may be slow.
"""
