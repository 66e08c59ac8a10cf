import numpy as np
from oracle_tools import Candles, Floats, known_mean, rows_of_span


def features(c: Candles) -> dict[str, Floats]:
    ranges, bodies = np.log(c["high"] / c["low"]), np.log(c["close"] / c["open"])
    measures = {
        "range": (ranges, lambda mean: mean),
        "parkinson": (ranges**2, lambda mean: np.sqrt(mean / (4 * np.log(2)))),
        "garman_klass": (
            0.5 * ranges**2 - (2 * np.log(2) - 1) * bodies**2,
            lambda mean: np.sqrt(np.maximum(mean, 0)),
        ),
        "abs_return": (np.abs(bodies), lambda mean: mean),
    }
    spans = {str(n): n for n in (1, 3, 6, 12, 48)} | {name: rows_of_span(c, days) for name, days in SPANS.items()}
    return {
        f"har_{measure}_{span}": formula(known_mean(values, c, rows, -(-rows // 24)))
        for measure, (values, formula) in measures.items()
        for span, rows in spans.items()
        if (measure, span) != ("parkinson", "1")
    }


SPANS = {"day": 1, "week": 7, "month": 30}
