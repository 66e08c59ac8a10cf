from collections.abc import Callable
from itertools import groupby

import numpy as np
from oracle_tools import Candles, Floats, before, past
from scipy import stats


def _of_windows(values: Floats, rows: int, flat: float, compute: Callable[[Floats], Floats]) -> Floats:
    """`compute` takes windows (m, rows) whose values differ; `flat` is the value where they do not."""
    windows = past(values, rows)
    result = np.where(np.isnan(windows).any(axis=1), np.nan, flat)
    moving = np.ptp(windows, axis=1) > 0
    if moving.any():
        result[moving] = compute(windows[moving])
    return result


def _slope(windows: Floats) -> Floats:
    return np.asarray(np.polyfit(np.arange(windows.shape[1]), windows.T, 1)[0])


def _r2(windows: Floats) -> Floats:
    time = np.arange(windows.shape[1])
    slope, start = np.polyfit(time, windows.T, 1)
    left = windows - (start[:, np.newaxis] + slope[:, np.newaxis] * time)
    return 1 - left.var(axis=1) / windows.var(axis=1)


def _area(windows: Floats) -> Floats:
    deviations = windows - windows[:, :1]
    return np.where(deviations > 0, deviations, 0).sum(axis=1) / np.abs(deviations).sum(axis=1)


def _autocorrelation(windows: Floats) -> Floats:
    deviations = windows - windows.mean(axis=1, keepdims=True)
    return (deviations[:, 1:] * deviations[:, :-1]).mean(axis=1) / windows.var(axis=1)


def _rank(windows: Floats) -> Floats:
    return (stats.rankdata(windows, axis=1)[:, -1] - 1) / (windows.shape[1] - 1)


def _strikes(side: int) -> Callable[[Floats], Floats]:
    """The longest run on one side of the mean; rounding is neither side."""

    def longest(window: Floats) -> float:
        beyond = side * (window - window.mean()) > 1e-10 * window[0]
        return max((len(list(run)) for is_in, run in groupby(beyond) if is_in), default=0) / len(window)

    return lambda windows: np.array([longest(window) for window in windows])


def _of_returns(close: Floats) -> dict[str, Floats]:
    returns, returns_4 = (np.log(close) - np.log(before(close, n)) for n in (1, 4))
    result = {"autocorrelation_24": _of_windows(returns, 24, 0.0, _autocorrelation)}
    for n in (24, 72):
        result[f"skew_{n}"] = _of_windows(returns, n, 0.0, lambda windows: stats.skew(windows, axis=1))
        result[f"kurtosis_{n}"] = _of_windows(returns, n, 0.0, lambda windows: stats.kurtosis(windows, axis=1))
    one, four = past(returns, 24).var(axis=1), past(returns_4, 24).var(axis=1)
    return result | {"variance_ratio_24": np.where(one == 0, 1.0, four / (4 * one))}


def features(c: Candles) -> dict[str, Floats]:
    close, logs = c["close"], np.log(c["close"])
    moves = np.diff(past(close, 25), axis=1)
    way = np.abs(moves).sum(axis=1)
    return _of_returns(close) | {
        "slope_24": 24 * _of_windows(logs, 24, 0.0, _slope),
        "slope_72": 72 * _of_windows(logs, 72, 0.0, _slope),
        "regression_r2_24": _of_windows(logs, 24, 0.0, _r2),
        "area_24": _of_windows(close, 24, 0.5, _area),
        "first_maximum_24": past(close, 24).argmax(axis=1) / 24,
        "first_minimum_24": past(close, 24).argmin(axis=1) / 24,
        "longest_strike_below_mean_24": _of_windows(close, 24, 0.0, _strikes(-1)),
        "longest_strike_above_mean_24": _of_windows(close, 24, 0.0, _strikes(1)),
        "second_derivative_24": (logs - before(logs, 1) - before(logs, 22) + before(logs, 23)) / (2 * 22),
        "close_rank_24": _of_windows(close, 24, 0.5, _rank),
        "close_rank_72": _of_windows(close, 72, 0.5, _rank),
        "efficiency_ratio_24": np.where(way == 0, 0.0, np.abs(close - before(close, 24)) / way),
        "up_share_24": (moves > 0).mean(axis=1),
    }
