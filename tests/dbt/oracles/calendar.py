from datetime import UTC, datetime

import numpy as np
from oracle_tools import Candles, Floats


def _row(time: datetime) -> dict[str, float]:
    day = (time - time.replace(hour=0, minute=0)).total_seconds() / 86400
    week = (time.weekday() + day) / 7
    first = time.replace(day=1, hour=0, minute=0)
    next_first = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    month = (time - first) / (next_first - first)
    new_year = time.replace(month=1, day=1, hour=0, minute=0)
    year = (time - new_year) / (new_year.replace(year=time.year + 1) - new_year)
    angle, weekday = 2 * np.pi * day, 2 * np.pi * time.weekday() / 7
    return {
        "hour_sin": np.sin(angle),
        "hour_cos": np.cos(angle),
        "weekday_sin": np.sin(weekday),
        "weekday_cos": np.cos(weekday),
        "time_of_day": 2 * day - 1,
        "time_of_week": 2 * week - 1,
        "time_of_month": 2 * month - 1,
        "time_of_year": 2 * year - 1,
    }


def features(c: Candles) -> dict[str, Floats]:
    seconds = c["open_time"].astype("datetime64[s]").astype(np.int64)
    rows = [_row(datetime.fromtimestamp(int(second), UTC)) for second in seconds]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
