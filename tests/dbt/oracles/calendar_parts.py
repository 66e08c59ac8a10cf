from datetime import UTC, datetime

import numpy as np
from oracle_tools import Candles, Floats


def _scaled(value: int, lowest: int, highest: int) -> float:
    """From -1 (lowest) to 1 (highest)."""
    return (2 * value - lowest - highest) / (highest - lowest)


def _row(time: datetime) -> dict[str, float]:
    new_year = time.replace(month=1, day=1, hour=0, minute=0)
    year = (time - new_year) / (new_year.replace(year=time.year + 1) - new_year)
    of_months = 2 * np.pi * (time.month - 1) / 12
    return {
        "hour_of_day": _scaled(time.hour, 0, 23),
        "day_of_week": _scaled(time.isoweekday(), 1, 7),
        "day_of_month": _scaled(time.day, 1, 31),
        "week_of_year": _scaled(time.isocalendar().week, 1, 53),
        "month_of_year": _scaled(time.month, 1, 12),
        "month_sin": np.sin(of_months),
        "month_cos": np.cos(of_months),
        "year_since_2020": (time.year + year - 2020) / 10,
        "is_weekend": float(time.weekday() in (5, 6)),
    }


def features(c: Candles) -> dict[str, Floats]:
    seconds = c["open_time"].astype("datetime64[s]").astype(np.int64)
    rows = [_row(datetime.fromtimestamp(int(second), UTC)) for second in seconds]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
