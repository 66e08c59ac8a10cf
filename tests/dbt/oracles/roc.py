from oracle_tools import Candles, Floats, before


def features(c: Candles) -> dict[str, Floats]:
    change = {n: c["close"] / before(c["close"], n) - 1 for n in (5, 10, 20, 50)}
    result = {f"rate_of_change_{n}": values for n, values in change.items()}
    return result | {"rate_of_change_acceleration_10": change[10] - before(change[10], 10)}
