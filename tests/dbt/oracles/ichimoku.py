from oracle_tools import Candles, Floats, before, past


def features(c: Candles) -> dict[str, Floats]:
    close = c["close"]
    conversion, base, span_b = (
        (past(c["high"], n).max(axis=1) + past(c["low"], n).min(axis=1)) / 2 for n in (9, 26, 52)
    )
    span_a = (conversion + base) / 2
    return {
        "ichimoku_conversion": conversion,
        "ichimoku_base": base,
        "close_over_ichimoku_conversion": close / conversion - 1,
        "close_over_ichimoku_base": close / base - 1,
        "close_over_ichimoku_span_a": close / before(span_a, 26) - 1,
        "close_over_ichimoku_span_b": close / before(span_b, 26) - 1,
        "ichimoku_cloud_width": before(span_a - span_b, 26) / close,
        "ichimoku_conversion_over_base": conversion / base - 1,
        "ichimoku_future_width": (span_a - span_b) / close,
    }
