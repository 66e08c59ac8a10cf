"""Simulated markets: realistic candles whose close cannot be predicted.

A price is a martingale: every sub-step multiplies it by (1 + r), r symmetric around 0 given the past. So no model can
forecast the close; a model that seems to has found luck or a leak. The range *can* be forecast, as on real markets,
because volatility has a memory:

    volatility(t) = level(timeframe) x exp(sum of AR(1) processes with half-lives of 4 hours to 30 days) x season(hour)
    r             = volatility(t) x tail(t) x (common normal, own normal)      tail(t) makes r a Student t

Every candle is a walk of 12 sub-steps; high and low are the extremes of the continuous path. Markets share a factor of
returns and of volatility, so that they are correlated. Volume depends on range, volatility and an autocorrelated
factor of its own.

Random numbers are drawn candle by candle from streams that depend only on the seed, the symbol and the purpose: a
longer simulation begins with the same rows, and a market is the same alone or simulated together with others.

Source: R. Cont, Empirical properties of asset returns, Quantitative Finance 1 (2001), 223-236, for the facts
imitated; F. Corsi, A simple approximate long-memory model of realized volatility, Journal of Financial
Econometrics 7 (2009), 174-196, for a long memory made of several time scales.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.errors import ConfigurationError
from ml.symbols import MarketName
from ml.timeframes import DAY_MS, HOUR_MS, milliseconds

Floats = NDArray[np.float64]

SUB_STEPS = 12
MARKET_STREAM = "market"

# Half-life in hours and standard deviation of each AR(1) of the log volatility.
VOLATILITY_MEMORY = ((4.0, 0.25), (24.0, 0.30), (168.0, 0.35), (720.0, 0.35))
VOLATILITY_SHARED = 0.6  # share of the variance of log volatility that is common to all markets
RETURN_SHARED = 0.6  # share of the variance of returns that is common to all markets: their correlation
TAIL_DEGREES = 6.0
# The cap keeps a sub-step far from -100 %; it is symmetric, so the price stays a martingale.
LARGEST_SUB_STEP = 0.15
SEASON_AMPLITUDE = 0.35
SEASON_PEAK_HOUR = 15.0  # UTC, when Europe and America trade together
VOLUME_MEMORY = ((48.0, 0.30), (720.0, 0.30))

# First price and hourly volatility by base asset; prices in USD.
ASSETS: dict[str, tuple[float, float]] = {
    "BTC": (30_000.0, 0.0060),
    "ETH": (2_000.0, 0.0075),
    "BNB": (300.0, 0.0075),
    "SOL": (50.0, 0.0110),
    "ADA": (0.50, 0.0095),
    "LTC": (80.0, 0.0090),
    "XRP": (0.50, 0.0090),
    "DOGE": (0.08, 0.0110),
    "TRX": (0.08, 0.0080),
    "LINK": (10.0, 0.0100),
    "USDT": (1.0, 0.0),
    "USDC": (1.0, 0.0),
    "USD": (1.0, 0.0),
}
DEFAULT_ASSET = (100.0, 0.0100)
MEAN_TURNOVER_USD_PER_HOUR = 50e6


@dataclass(frozen=True)
class _Factors:
    """Factors common to all markets. Shapes: log_volatility and tail (n,), normals and season (n, SUB_STEPS)."""

    normals: Floats
    log_volatility: Floats
    tail: Floats
    season: Floats


def simulate(symbols: Sequence[str], timeframe: str, start_ms: int, n: int, seed: int) -> dict[str, pd.DataFrame]:
    """Simulate `n` candles of each market.

    Args:
        symbols: markets such as "BTC/USDT"; known base assets start at a typical price, others at 100.
        timeframe: one of `ml.timeframes.TIMEFRAMES`.
        start_ms: open time of the first candle, milliseconds since 1970 UTC, on the time grid of the timeframe.
        n: candles per market.
        seed: not negative. The same seed gives the same candles; a larger `n` appends to them.

    Returns:
        symbol -> frame with open_time (datetime64[ms, UTC]), open, high, low, close (quote units), volume (base
        units). low <= open, close <= high; each open is the previous close.

    Raises:
        ConfigurationError: the timeframe is unknown, the start is misaligned, or `n` or `seed` is negative.
    """
    length_ms = milliseconds(timeframe)
    if start_ms % length_ms:
        raise ConfigurationError(f"start_ms {start_ms} is no open time of {timeframe}. Use a multiple of {length_ms}.")
    if n < 0 or seed < 0:
        raise ConfigurationError(f"n and seed must not be negative, were {n} and {seed}. Use 0 or more.")
    factors = _market_factors(length_ms, start_ms, n, seed)
    open_time_ms = np.int64(start_ms) + np.int64(length_ms) * np.arange(n, dtype=np.int64)
    open_time = pd.Series(open_time_ms.astype("datetime64[ms]")).dt.tz_localize("UTC")
    return {symbol: _simulate_market(symbol, length_ms, factors, open_time, seed) for symbol in symbols}


def _stream(seed: int, owner: str, purpose: str) -> np.random.Generator:
    """An independent stream per purpose; crc32, because Python's hash() of text differs from run to run."""
    return np.random.default_rng([seed, zlib.crc32(f"{owner}:{purpose}".encode())])


def _market_factors(length_ms: int, start_ms: int, n: int, seed: int) -> _Factors:
    tail_stream = _stream(seed, MARKET_STREAM, "tail")
    # Normal x sqrt(degrees / chi-square) is Student t; the second factor makes its variance 1.
    tail = np.sqrt(TAIL_DEGREES / tail_stream.chisquare(TAIL_DEGREES, n))
    return _Factors(
        normals=_stream(seed, MARKET_STREAM, "return").standard_normal((n, SUB_STEPS)),
        log_volatility=_memory(_stream(seed, MARKET_STREAM, "volatility"), n, length_ms, VOLATILITY_MEMORY),
        tail=tail * np.sqrt((TAIL_DEGREES - 2.0) / TAIL_DEGREES),
        season=_season(length_ms, start_ms, n),
    )


def _memory(stream: np.random.Generator, n: int, length_ms: int, scales: tuple[tuple[float, float], ...]) -> Floats:
    """Sum of stationary AR(1) processes, shape (n,). `scales`: (half-life in hours, standard deviation) each."""
    shocks = stream.standard_normal((n, len(scales)))
    total = np.zeros(n)
    for column, (half_life_hours, deviation) in enumerate(scales):
        decay = 2.0 ** (-length_ms / (half_life_hours * HOUR_MS))
        # ewm gives y = decay * y + (1 - decay) * x with y[0] = x[0]; scaled so that y has variance 1 from row 0 on.
        innovations = shocks[:, column] * np.sqrt((1.0 + decay) / (1.0 - decay))
        innovations[:1] = shocks[:1, column]
        total += deviation * pd.Series(innovations).ewm(alpha=1.0 - decay, adjust=False).mean().to_numpy()
    return total


def _season(length_ms: int, start_ms: int, n: int) -> Floats:
    """Intraday volatility factor, shape (n, SUB_STEPS), mean square 1 over a day."""
    open_ms = (start_ms + length_ms * np.arange(n, dtype=np.int64)) % DAY_MS
    middle_ms = open_ms[:, None] + (np.arange(SUB_STEPS) + 0.5)[None, :] * (length_ms / SUB_STEPS)
    hours = middle_ms / HOUR_MS
    wave = SEASON_AMPLITUDE * np.cos(2.0 * np.pi * (hours - SEASON_PEAK_HOUR) / 24.0)
    # The mean of exp(2 a cos x) over a turn is the Bessel function I0(2 a).
    return np.asarray(np.exp(wave) / np.sqrt(np.i0(2.0 * SEASON_AMPLITUDE)), dtype=np.float64)


def _asset(name: str) -> tuple[float, float]:
    return ASSETS.get(name, DEFAULT_ASSET)


def _simulate_market(symbol: str, length_ms: int, factors: _Factors, open_time: pd.Series, seed: int) -> pd.DataFrame:
    n = len(open_time)
    market = MarketName.of(symbol)
    first_price = _asset(market.base)[0] / _asset(market.quote or "USDT")[0]
    own = _memory(_stream(seed, symbol, "volatility"), n, length_ms, VOLATILITY_MEMORY)
    log_volatility = np.sqrt(VOLATILITY_SHARED) * factors.log_volatility + np.sqrt(1 - VOLATILITY_SHARED) * own
    normals = np.sqrt(RETURN_SHARED) * factors.normals + np.sqrt(1 - RETURN_SHARED) * _stream(
        seed, symbol, "return"
    ).standard_normal((n, SUB_STEPS))

    level = _asset(market.base)[1] * np.sqrt(length_ms / HOUR_MS / SUB_STEPS)
    variance = sum(deviation**2 for _, deviation in VOLATILITY_MEMORY)
    # exp(x - variance of x) has a mean square of 1 for a normal x, so `level` stays the root mean square.
    scale = level * np.exp(log_volatility - variance) * factors.tail
    deviations = scale[:, None] * factors.season
    steps = np.clip(deviations * normals, -LARGEST_SUB_STEP, LARGEST_SUB_STEP)
    uniforms = _stream(seed, symbol, "extremes").random((n, SUB_STEPS, 2))
    frame = _candles(open_time, first_price, steps, _bridge_extremes(steps, deviations, uniforms))
    frame["volume"] = _volume(frame, symbol, length_ms, log_volatility, seed)
    return frame


def _bridge_extremes(steps: Floats, deviations: Floats, uniforms: Floats) -> Floats:
    """Maximum and minimum of the log price within each sub-step, relative to its start, shape (2, n, SUB_STEPS).

    The maximum of a Brownian path given both ends has a known distribution. Without it, a walk of 12 points would close
    at its high in every fifth candle and understate the range.

    Source: P. Glasserman, Monte Carlo Methods in Financial Engineering (2003), section 6.4.
    """
    ends = np.log1p(steps)
    # The cap of a sub-step also bounds the path within it.
    variance = np.minimum(deviations, LARGEST_SUB_STEP) ** 2
    reach = np.sqrt(ends[None] ** 2 - 2.0 * variance * np.log1p(-np.moveaxis(uniforms, 2, 0)))
    return np.stack([(ends + reach[0]) / 2.0, (ends - reach[1]) / 2.0])


def _candles(open_time: pd.Series, first_price: float, steps: Floats, extremes: Floats) -> pd.DataFrame:
    """Candles of the walk from `first_price` with `steps` (relative changes, (n, SUB_STEPS))."""
    n = len(steps)
    # Seven significant digits, as exchanges quote: a tick of 0.01 for 30,000.
    decimals = int(np.clip(6 - np.floor(np.log10(first_price)), 0, 8))

    def quoted(log_ratio: Floats) -> Floats:
        prices = np.round(first_price * np.exp(log_ratio), decimals)
        return np.asarray(np.maximum(prices, 10.0**-decimals), dtype=np.float64)

    path = np.concatenate(([0.0], np.cumsum(np.log1p(steps).ravel())))
    starts = path[:-1].reshape(n, SUB_STEPS)
    ends = path[SUB_STEPS::SUB_STEPS]
    # Rounding keeps the order of prices, so low <= open, close <= high holds after it as before.
    return pd.DataFrame(
        {
            "open_time": open_time,
            "open": quoted(starts[:, 0]),
            "high": quoted((starts + extremes[0]).max(axis=1)),
            "low": quoted((starts + extremes[1]).min(axis=1)),
            "close": quoted(ends),
        }
    )


def _volume(frame: pd.DataFrame, symbol: str, length_ms: int, log_volatility: Floats, seed: int) -> Floats:
    """Volume in base units, shape (n,): grows with the candle's range and with volatility."""
    n = len(frame)
    stream = _stream(seed, symbol, "volume")
    first_usd, volatility = _asset(symbol.partition("/")[0])
    mean_volume = MEAN_TURNOVER_USD_PER_HOUR * (length_ms / HOUR_MS) / first_usd
    # A path of volatility v spans 1.6 v on average (the square root of 8 / pi); a stable coin spans nothing.
    usual_range = 1.6 * volatility * np.sqrt(length_ms / HOUR_MS) or 1.0
    range_ratio = (np.log(frame["high"].to_numpy() / frame["low"].to_numpy()) / usual_range).clip(0.02, 50.0)
    noise = 0.25 * stream.standard_normal(n)
    memory = _memory(_stream(seed, symbol, "volume memory"), n, length_ms, VOLUME_MEMORY)
    volume = mean_volume * np.exp(0.8 * np.log(range_ratio) + 0.4 * log_volatility + memory + noise)
    return np.asarray(np.maximum(np.round(volume, 5), 1e-5), dtype=np.float64)
