from oracle_tools import Candles, Floats, before, recursive_mean


def features(c: Candles) -> dict[str, Floats]:
    close, median = c["close"], (c["high"] + c["low"]) / 2
    shifts = {"jaw": (13, 8), "teeth": (8, 5), "lips": (5, 3)}
    lines = {name: before(recursive_mean(median, 1 / n), shift) for name, (n, shift) in shifts.items()}
    jaw, teeth, lips = lines.values()
    result = {f"alligator_{name}": line for name, line in lines.items()}
    result |= {f"close_over_alligator_{name}": close / line - 1 for name, line in lines.items()}
    return result | {
        "alligator_mouth": (lips - jaw) / close,
        "gator_upper": abs(jaw - teeth) / close,
        "gator_lower": abs(teeth - lips) / close,
    }
