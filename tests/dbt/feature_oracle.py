"""Every feature column once more, with numpy and TA-Lib and none of the SQL: what the dbt models are compared with."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import talib

Floats = npt.NDArray[np.float64]
Candles = dict[str, npt.NDArray[np.generic]]


def _past(values: Floats, rows: int) -> Floats:
    """Windows of the last `rows` values, row t first where it exists: shape (n, rows), NaN before the start."""
    padded = np.concatenate([np.full(rows - 1, np.nan), values])
    return np.lib.stride_tricks.sliding_window_view(padded, rows)


def _mean(values: Floats, rows: int) -> Floats:
    return _past(values, rows).mean(axis=1)


def _std(values: Floats, rows: int, ddof: int) -> Floats:
    return _past(values, rows).std(axis=1, ddof=ddof)


def _before(values: Floats, rows: int = 1) -> Floats:
    return np.concatenate([np.full(rows, np.nan), values[:-rows]])


def _returns(c: dict[str, Floats]) -> dict[str, Floats]:
    return {f"log_return_{n}": np.log(c["close"] / _before(c["close"], n)) for n in (1, 2, 3, 6, 12, 24)}


def _candle_shape(c: dict[str, Floats]) -> dict[str, Floats]:
    top, bottom = np.maximum(c["open"], c["close"]), np.minimum(c["open"], c["close"])
    span = c["high"] - c["low"]
    return {
        "candle_body": np.log(c["close"]) - np.log(c["open"]),
        "candle_upper_shadow": np.log(c["high"]) - np.log(top),
        "candle_lower_shadow": np.log(bottom) - np.log(c["low"]),
        "candle_range": np.log(c["high"]) - np.log(c["low"]),
        "candle_high_over_close": np.log(c["high"]) - np.log(c["close"]),
        "candle_low_over_close": np.log(c["low"]) - np.log(c["close"]),
        "candle_close_location": np.where(span > 0, (c["close"] - c["low"]) / np.where(span > 0, span, 1), 0.5),
    }


def _range(c: dict[str, Floats]) -> dict[str, Floats]:
    result = {}
    for side in ("high", "low"):
        run = np.log(c[side] / _before(c["close"]))
        # an exponential mean with weight 2 / 7, started with the mean of the first six values
        smooth = np.full(len(run), np.nan)
        smooth[6] = run[1:7].mean()
        for row in range(7, len(run)):
            smooth[row] = smooth[row - 1] + 2 / 7 * (run[row] - smooth[row - 1])
        result[f"range_{side}_ewma_6"] = smooth
        result |= {f"range_{side}_mean_{n}": _mean(run, n) for n in (6, 24, 72, 168)}
    return result


def _volatility(c: dict[str, Floats]) -> dict[str, Floats]:
    log_return = np.log(c["close"] / _before(c["close"]))
    up, down, body = np.log(c["high"] / c["open"]), np.log(c["low"] / c["open"]), np.log(c["close"] / c["open"])
    rogers_satchell = up * (up - body) + down * (down - body)
    garman_klass = 0.5 * (up - down) ** 2 - (2 * np.log(2) - 1) * body**2
    return {f"volatility_{n}": _std(log_return, n, ddof=1) for n in (6, 24, 72)} | {
        "parkinson_24": np.sqrt(_mean((up - down) ** 2, 24) / (4 * np.log(2))),
        "garman_klass_24": np.sqrt(_mean(garman_klass, 24)),
        "rogers_satchell_24": np.sqrt(_mean(rogers_satchell, 24)),
    }


def _talib(c: dict[str, Floats]) -> dict[str, Floats]:
    high, low, close, volume = c["high"], c["low"], c["close"], c["volume"]
    macd, signal, histogram = talib.MACD(close, 12, 26, 9)
    k, d = talib.STOCH(high, low, close, 14, 3, 0, 3, 0)
    return {
        "natr_6": talib.NATR(high, low, close, 6) / 100,
        "natr_14": talib.NATR(high, low, close, 14) / 100,
        "rsi_6": talib.RSI(close, 6) / 100,
        "rsi_14": talib.RSI(close, 14) / 100,
        "macd_line": macd / close,
        "macd_signal": signal / close,
        "macd_histogram": histogram / close,
        "stochastic_k_14": k / 100,
        "stochastic_d_14": d / 100,
        "rate_of_change_10": close / _before(close, 10) - 1,
        "cci_20": talib.CCI(high, low, close, 20) / 100,
        "williams_r_14": talib.WILLR(high, low, close, 14) / 100,
        "money_flow_index_14": talib.MFI(high, low, close, volume, 14) / 100,
        "adx_14": talib.ADX(high, low, close, 14) / 100,
        "close_over_ema_12": close / talib.EMA(close, 12) - 1,
    }


def _windows(c: dict[str, Floats]) -> dict[str, Floats]:
    high, low, close, volume = c["high"], c["low"], c["close"], c["volume"]
    middle, deviation = _mean(close, 20), _std(close, 20, ddof=0)
    result = {
        "bollinger_percent_b_20": (close - (middle - 2 * deviation)) / (4 * deviation),
        "bollinger_width_20": 4 * deviation / middle,
        "volume_ratio_24": np.log1p(volume / _mean(volume, 24)),
        "volume_zscore_24": (volume - _mean(volume, 24)) / _std(volume, 24, ddof=0),
        "obv_share_24": _mean(np.sign(close - _before(close)) * volume, 24) / _mean(volume, 24),
    }
    result |= {f"close_over_sma_{n}": close / _mean(close, n) - 1 for n in (6, 24, 72, 168)}
    for n in (20, 55):
        top, bottom = _before(_past(high, n).max(axis=1)), _before(_past(low, n).min(axis=1))
        result[f"turtle_position_{n}"] = (close - bottom) / (top - bottom)
    for n in (24, 72, 168):
        result[f"close_zscore_{n}"] = (close - _mean(close, n)) / _std(close, n, ddof=0)
    return result


def _calendar_row(time: datetime) -> tuple[float, ...]:
    day = (time - time.replace(hour=0, minute=0)).total_seconds() / 86400
    week = (time.weekday() + day) / 7
    first = time.replace(day=1, hour=0, minute=0)
    next_first = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    month = (time - first) / (next_first - first)
    new_year = time.replace(month=1, day=1, hour=0, minute=0)
    year = (time - new_year) / (new_year.replace(year=time.year + 1) - new_year)
    angle, weekday = 2 * np.pi * day, 2 * np.pi * time.weekday() / 7
    circles = (np.sin(angle), np.cos(angle), np.sin(weekday), np.cos(weekday))
    return (*circles, 2 * day - 1, 2 * week - 1, 2 * month - 1, 2 * year - 1)


CALENDAR = (
    *("hour_sin", "hour_cos", "weekday_sin", "weekday_cos"),
    *("time_of_day", "time_of_week", "time_of_month", "time_of_year"),
)


def _calendar(open_time: npt.NDArray[np.generic]) -> dict[str, Floats]:
    seconds = open_time.astype("datetime64[s]").astype(np.int64)
    rows = np.array([_calendar_row(datetime.fromtimestamp(int(second), UTC)) for second in seconds])
    return {name: rows[:, position] for position, name in enumerate(CALENDAR)}


def all_features(candles: Candles) -> dict[str, Floats]:
    """Every column over the candles that are there (no gap rows), NaN where a window is not full."""
    c = {name: candles[name].astype(np.float64) for name in ("open", "high", "low", "close", "volume")}
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = [part(c) for part in (_returns, _candle_shape, _range, _volatility, _talib, _windows)]
    result: dict[str, Floats] = {}
    for part in (*parts, _calendar(candles["open_time"])):
        result |= part
    return result


def _a_few_candles() -> Candles:
    close = 100 + np.sin(np.arange(200.0))
    prices = {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": close}
    return prices | {"open_time": np.datetime64("2024-01-01") + np.arange(200) * np.timedelta64(1, "h")}


#: Names of all columns, for parametrised tests.
COLUMNS = tuple(all_features(_a_few_candles()))
