"""One peer's forecasts of the range, run by `tests.benchmarks.peers` in an environment of the peer's own.

    python peer_models.py PEER INPUTS.npz OUTPUTS.npz

Inputs: log_range (n,) ln of ln(high / low) of all candles; log_return (n,) ln of the close over the close before; hour
and weekday (n,); n_train: number of candles at the start to fit on; scored (m,): positions of the candles to forecast,
each from those before it. Outputs: fitted (n_train,) in-sample forecasts of the range up to a factor, NaN where the
peer has none; forecast (m,); seconds of fit and forecasts.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

#: Candles before a scored one from which a fitted statsforecast model computes its state.
LOOKBACK = 2000
#: Latest train candles that DynamicOptimizedTheta is fitted on: its fit is quadratic in them.
THETA_ROWS = 5000
DAY = 24
Data = Any


def _by_statsforecast(model: Any, data: Data, latest: int | None = None) -> tuple[Any, Any]:
    """Fitted once, then forward over the scored candles with fixed parameters."""
    y, n_train = data["log_range"], int(data["n_train"])
    train = y[:n_train] if latest is None else y[n_train - latest : n_train]
    model.fit(train)
    fitted = np.full(n_train, np.nan)
    fitted[n_train - len(train) :] = model.predict_in_sample()["fitted"]
    forecast = [model.forward(y=y[at - LOOKBACK : at], h=1)["mean"][0] for at in data["scored"]]
    return np.exp(fitted), np.exp(np.array(forecast))


def auto_ets(data: Data) -> tuple[Any, Any]:
    """Exponential smoothing, its form chosen by AICc, with a season of a day."""
    from statsforecast.models import AutoETS  # noqa: PLC0415

    return _by_statsforecast(AutoETS(season_length=DAY), data)


def auto_arima(data: Data) -> tuple[Any, Any]:
    """ARIMA, its orders chosen by AICc; without a season, which would take hours."""
    from statsforecast.models import AutoARIMA  # noqa: PLC0415

    return _by_statsforecast(AutoARIMA(season_length=1), data)


def theta(data: Data) -> tuple[Any, Any]:
    """Dynamic optimised theta with a season of a day."""
    from statsforecast.models import DynamicOptimizedTheta  # noqa: PLC0415

    return _by_statsforecast(DynamicOptimizedTheta(season_length=DAY), data, THETA_ROWS)


def mlforecast_lightgbm(data: Data) -> tuple[Any, Any]:
    """mlforecast's lags and rolling means with hour and weekday, and LightGBM with its defaults."""
    import pandas as pd  # noqa: PLC0415
    from lightgbm import LGBMRegressor  # noqa: PLC0415
    from mlforecast import MLForecast  # noqa: PLC0415
    from mlforecast.lag_transforms import RollingMean  # noqa: PLC0415

    y, n_train = data["log_range"], int(data["n_train"])
    frame = pd.DataFrame({"unique_id": "series", "ds": np.arange(len(y)), "y": y})
    frame = frame.assign(hour=data["hour"], weekday=data["weekday"])
    peer = MLForecast(
        models={"lightgbm": LGBMRegressor(n_jobs=1, verbosity=-1, random_state=0)},
        freq=1,
        lags=[1, 2, 3, 6, 12, 24, 168],
        lag_transforms={1: [RollingMean(window) for window in (6, 24, 168, 720)]},
        num_threads=1,
    )
    table = peer.preprocess(frame, static_features=[]).set_index("ds")
    columns = [name for name in table if name not in ("unique_id", "y")]
    train = table[table.index < n_train]
    peer.fit_models(train[columns], train["y"].to_numpy())
    predict = peer.models_["lightgbm"].predict
    fitted = np.full(n_train, np.nan)
    fitted[train.index] = predict(train[columns])
    return np.exp(fitted), np.exp(predict(table.loc[data["scored"], columns]))


def garch(data: Data) -> tuple[Any, Any]:
    """GARCH(1,1) of the log returns with Student's t; the range is a factor times the deviation."""
    from arch import arch_model  # noqa: PLC0415

    n_train = int(data["n_train"])
    model = arch_model(100 * data["log_return"], mean="Zero", vol="GARCH", p=1, q=1, dist="t")
    result = model.fit(last_obs=n_train, disp="off")
    # The forecast made at a candle is of the next one.
    variance = result.forecast(horizon=1, start=0, reindex=False).variance.to_numpy()[:, 0]
    deviation = np.concatenate([[np.nan], np.sqrt(variance)])
    return deviation[:n_train], deviation[data["scored"]]


PEERS = {
    "statsforecast_AutoETS": auto_ets,
    "statsforecast_AutoARIMA": auto_arima,
    "statsforecast_DynamicOptimizedTheta": theta,
    "mlforecast_LightGBM": mlforecast_lightgbm,
    "arch_GARCH": garch,
}


def _short(data: Data) -> Data:
    """A few candles, on which a library compiles its kernels before it is timed."""
    rows = LOOKBACK + 200
    short = {name: data[name][-rows:] for name in ("log_range", "log_return", "hour", "weekday")}
    return {**short, "n_train": rows - 10, "scored": np.arange(rows - 5, rows)}


def main() -> None:
    """Read the inputs, run the peer, write its outputs."""
    name, inputs, outputs = sys.argv[1:]
    with np.load(inputs) as stored:
        data = dict(stored)
    if name != "statsforecast_DynamicOptimizedTheta":  # which needs more candles, and has nothing to compile
        PEERS[name](_short(data))
    started = time.perf_counter()
    fitted, forecast = PEERS[name](data)
    np.savez(outputs, fitted=fitted, forecast=forecast, seconds=time.perf_counter() - started)


if __name__ == "__main__":
    main()
