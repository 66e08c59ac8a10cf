"""The comparison with peers: one metric on one set of rows, no look into the future, and errors that are named."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.metrics.prices import relative_errors, rmse_pct
from tests.benchmarks import peer_models, peers
from tests.synthetic import make_dataset


@pytest.fixture(scope="module")
def task() -> peers.Task:
    return peers.make_task(make_dataset(3000))


def test_the_scored_rows_are_the_latest_and_none_was_learnt_from(
    task: peers.Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert task.train[-1] < task.scored[0] - 1
    assert task.scored[-1] == np.flatnonzero(task.prepared.usable)[-1]
    monkeypatch.setattr(peers, "SCORED", 50)
    np.testing.assert_array_equal(peers.make_task(task.prepared.dataset).scored, task.scored[-50:])


def test_a_range_becomes_high_and_low_by_one_least_squares_factor_each(task: peers.Task) -> None:
    labels, n_train = task.prepared.labels, int(task.train[-1]) + 2
    # The forecast is the true range: the factors of high and low then differ by 1.
    fitted = np.full(n_train, np.nan)
    fitted[task.train + 1] = labels[task.train, 0] - labels[task.train, 1]
    high = fitted[task.train + 1] @ labels[task.train, 0] / (fitted[task.train + 1] @ fitted[task.train + 1])
    made = task.from_ranges(fitted, np.array([0.01, 0.02]))
    np.testing.assert_allclose(made[:, 0], high * np.array([0.01, 0.02]))
    np.testing.assert_allclose(made[:, 0] - made[:, 1], [0.01, 0.02])
    assert not made[:, 2].any()


def test_the_sides_are_scored_alike_and_a_peer_that_fails_has_its_error(
    task: peers.Task, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = task.prepared.labels

    def run(peer: str, *_: Any) -> dict[str, Any]:
        if peer == "statsforecast_AutoARIMA":
            raise RuntimeError("no such package")
        ranges = labels[:, 0] - labels[:, 1]
        # It knows the range of the candle that a row forecasts.
        fitted = np.append(np.nan, ranges[: task.train[-1] + 1])
        return {"fitted": fitted, "forecast": ranges[task.scored], "seconds": 2.0}

    monkeypatch.setattr(peers, "run_peer", run)
    peers.compare("peers", task, tmp_path)
    lines = {line["side"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert set(lines) == {*peers.our_sides(task), *peers.PEERS}
    assert lines["statsforecast_AutoARIMA"] == {
        "name": "peers", "side": "statsforecast_AutoARIMA", "error": "no such package"
    }  # fmt: skip
    assert lines["candleworks_ewma_range"]["skill_pct"] == 0
    peer = lines["arch_GARCH"]
    assert peer["skill_pct"] > lines["candleworks_ridge_har_season"]["skill_pct"]
    assert (peer["rows"], peer["cases_per_hour"]) == (len(task.scored), 1800)
    ridge = peers.our_sides(task)["candleworks_ridge_har_season"]()
    expected = rmse_pct(relative_errors(ridge, labels[task.scored]))
    assert lines["candleworks_ridge_har_season"]["rmse_pct"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (subprocess.CompletedProcess([], 2, "", "resolving\n  No solution: no x\n\n"), "^No solution: no x$"),
        (subprocess.CompletedProcess([], 1, "", ""), "it exits with 1"),
        (subprocess.TimeoutExpired([], 900), "it takes longer than 900 s"),
    ],
)
def test_the_error_of_a_peer_is_its_last_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, outcome: Any, message: str
) -> None:
    def run(*_: Any, **__: Any) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(RuntimeError, match=message):
        peers.run_peer("arch_GARCH", ("arch==8.0.0",), tmp_path / "inputs.npz", tmp_path)


def test_without_candles_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANDLEWORKS_CANDLES", str(tmp_path))
    peers.peers("peers")
    assert capsys.readouterr().err.startswith("peers: skipped, no recorded candles at ")


class LastValue:
    """A statsforecast model that repeats the last value."""

    def fit(self, y: Any) -> None:
        self.seen = y

    def predict_in_sample(self) -> dict[str, Any]:
        return {"fitted": np.append(np.nan, self.seen[:-1])}

    def forward(self, y: Any, h: int) -> dict[str, Any]:
        assert (len(y), h) == (peer_models.LOOKBACK, 1)
        return {"mean": y[-1:]}


@pytest.mark.parametrize("latest", [None, 100])
def test_a_forecast_of_a_candle_is_from_those_before_it(latest: int | None) -> None:
    y = np.random.default_rng(1).normal(size=3000)
    data = {"log_range": y, "n_train": 2500, "scored": np.array([2600, 2999])}
    fitted, forecast = peer_models._by_statsforecast(LastValue(), data, latest)
    np.testing.assert_array_equal(forecast, np.exp(y[[2599, 2998]]))
    first = 1 if latest is None else 2401
    np.testing.assert_array_equal(fitted[first:], np.exp(y[first - 1 : 2499]))
    assert np.isnan(fitted[:first]).all()


def test_garch_does_not_see_the_candle_that_it_forecasts() -> None:
    returns = np.diff(np.log(make_dataset(1501).candles[:, 3]))
    data = {"log_return": returns, "n_train": 1200, "scored": np.arange(1300, 1400)}
    _, before = peer_models.garch(data)
    shocked = returns.copy()
    shocked[1350] = 0.2
    _, after = peer_models.garch(data | {"log_return": shocked})
    np.testing.assert_allclose(after[:51], before[:51])
    assert after[51] > 1.5 * before[51]
