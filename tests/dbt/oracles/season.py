import numpy as np
from oracle_tools import Candles, Floats, known_mean, rows_of_span, seconds_of, step_of


def features(c: Candles) -> dict[str, Floats]:
    ranges = np.log(c["high"] / c["low"])
    opened, step = seconds_of(c), step_of(c)
    rows = rows_of_span(c, 84)
    hour, next_hour, next_weekend = (np.full(len(ranges), np.nan) for _ in range(3))
    for row, now in enumerate(opened):
        seen = slice(np.searchsorted(opened, now - rows * step, side="right"), row + 1)
        past, times = ranges[seen], opened[seen]
        if len(past) < 24:
            continue
        mean = past.mean()

        def factor(same: Floats, past: Floats = past, mean: float = mean) -> float:
            return float((past[same].sum() + 10 * mean) / (same.sum() + 10) / mean)

        hours, weekend = times // 3600 % 24, _is_weekend(times)
        hour[row] = factor(hours == now // 3600 % 24)
        next_hour[row] = factor(hours == (now + step) // 3600 % 24)
        next_weekend[row] = factor(weekend == _is_weekend(now + step))
    following = next_hour * next_weekend
    spans = {"1": 1, "6": 6} | {name: rows_of_span(c, days) for name, days in (("day", 1), ("week", 7), ("month", 30))}
    return {
        "season_hour": hour,
        "season_next_hour": next_hour,
        "season_next_weekend": next_weekend,
        "season_next": following,
    } | {f"season_range_{name}": known_mean(ranges, c, n, -(-n // 24)) * following for name, n in spans.items()}


def _is_weekend(seconds: Floats) -> Floats:
    """Saturday or Sunday; day 2 after 1970-01-01, a Thursday, was a Saturday."""
    return np.isin(seconds // 86400 % 7, (2, 3))
