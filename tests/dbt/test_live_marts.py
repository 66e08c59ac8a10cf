"""What the marts say of live forecasts equals what pandas computes from the raw rows, by other means."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from built import Built, configure, load

from flows.forecasting.rounds import weigh_rounds
from flows.settings import load_settings
from flows.warehouse.verdict_tables import write_verdict_tables
from flows.workspace.workspace import Workspace

FIRST, COUNT, GAP = 200, 120, 260
SERIES = {"exchange": "test", "symbol": "A/USDT", "timeframe": "1h"}
START = pd.Timestamp("2024-01-01")
LEVELS = {"0.5": 1.0, "0.8": 2.0, "0.95": 3.0}
MARTS = ("fct_forecasts", "fct_scores", "fct_champions", "fct_band_reliability", "fct_band_groups", "fct_weights",
         "dim_markets")  # fmt: skip
MODELS = ["run", "--select", *(f"+{name}" for name in MARTS)]


def candles(random: np.random.Generator) -> pd.DataFrame:
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, FIRST + COUNT + 1)))
    opens = np.append(100.0, close[:-1])
    reach = 1 + random.exponential(0.01, (2, len(close)))
    frame = pd.DataFrame({
        "open_time": pd.date_range(START, periods=len(close), freq="h").astype("datetime64[us]"), "open": opens,
        "high": np.maximum(opens, close) * reach[0], "low": np.minimum(opens, close) / reach[1], "close": close,
        "volume": 1.0,
    })  # fmt: skip
    return frame.drop(index=GAP).reset_index(drop=True)


def forecasts(frame: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    rows = []
    for n in range(COUNT):
        opens = START + pd.Timedelta(hours=FIRST + n)
        last = frame.loc[frame["open_time"] < opens, "close"].iloc[-1]
        width = 0.012 * last
        served = n >= 60
        intervals = {level: [last - reach * width, last + reach * width] for level, reach in LEVELS.items()}
        rows.append({
            "sequence": n + 1, "hash": f"f{n}", **SERIES, "target_open_time": opens, "open": last,
            "target_close_time": opens + pd.Timedelta(hours=1), "high": last * random.uniform(1.01, 1.05), "low": last,
            "late": n % 17 == 3, "band_low": last - 2 * width, "band_high": last + 2 * width, "band_level": 0.8,
            "case_key": "c1" if served else None, "model_id": "m1" if served else None,
            "model": "ridge" if served else "baseline", "baseline": "ewma_range",
            # the first ones are of an earlier version
            "bands": json.dumps(intervals) if n > 5 else None,
        })  # fmt: skip
    return pd.DataFrame(rows)


def scores(made: pd.DataFrame, frame: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """One a forecast whose candle is there, in order; every tenth is restated at the end."""
    truth = frame.set_index("open_time")
    rows: list[dict[str, Any]] = []
    order = [(n, 0) for n in range(COUNT - 1)] + [(n, 1) for n in range(0, COUNT - 1, 10)]
    for n, revision in order:
        forecast = made.iloc[n]
        if forecast["target_open_time"] not in truth.index:
            continue
        actual = truth.loc[forecast["target_open_time"]]
        low = actual["low"] * (1 - 0.02 * revision)
        error, rivals = random.uniform(0.2, 2), dict(zip("abc", random.uniform(0.2, 2, 3), strict=True))
        named = {"last_candle": rivals["a"], "mean_range": rivals["b"], "ewma_range": rivals["c"]}
        served = forecast["model"] == "ridge"
        errors = named | ({"ridge": error} if served else {})
        rows.append({
            "sequence": len(rows) + 1, "hash": f"s{len(rows)}", "forecast_hash": forecast["hash"], **SERIES,
            "target_open_time": forecast["target_open_time"], "scored_at": START, "revision": revision,
            "actual_open": actual["open"], "actual_high": actual["high"], "actual_low": low,
            "actual_close": actual["close"], "error_pct": error if served else named["ewma_range"],
            "baseline_error_pct": named["ewma_range"], "late": forecast["late"],
            "covered": bool(low >= forecast["band_low"] and actual["high"] <= forecast["band_high"]),
            "direction_hit": [True, False, None][int(random.integers(3))],
            "rival_errors": json.dumps(errors) if n > 5 else None,
        })  # fmt: skip
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Live:
    """The raw rows, and the marts that were made of them."""

    candles: pd.DataFrame
    forecasts: pd.DataFrame
    latest: pd.DataFrame
    marts: dict[str, pd.DataFrame]
    weighed: list[int]


@pytest.fixture(scope="module")
def live(make_built: Callable[[str], Built], small_dbt: None, loaded_small_dbt: None) -> Live:
    random = np.random.default_rng(2)
    built = make_built("live")
    frame = candles(random)
    made = forecasts(frame, random)
    scored = scores(made, frame, random)
    first_scores = len(scored) // 2
    workspace = Workspace(
        built.warehouse.path.parent,
        load_settings(None, {"exchange": {"name": "test"}, "markets": {"symbols": ["A/USDT"], "timeframes": ["1h"]}}),
    )
    with built.warehouse.connect() as connection:
        configure(connection, "A")
        connection.register("frame", frame)
        load(connection, "A", "SELECT * FROM frame", 1)
        for name, rows in (("forecasts", made), ("scores", scored.head(first_scores))):
            connection.register("rows", rows)
            connection.execute(f"INSERT INTO raw.{name} BY NAME SELECT * FROM rows")
        verdict = {**SERIES, "sequence": 1, "case_key": "c1", "model_id": "m1", "model": "ridge"}
        verdict["decision"] = "promoted"
        columns = ", ".join(f"? AS {name}" for name in verdict)
        connection.execute(f"INSERT INTO raw.verdicts BY NAME SELECT {columns}", list(verdict.values()))
        write_verdict_tables(connection, {})
    built.run(["run", "--select", "+fct_candles"])
    # Half of the rounds first, then those that came later and those that were restated.
    weighed = [weigh_rounds(workspace), weigh_rounds(workspace)]
    with built.warehouse.connect() as connection:
        connection.register("rows", scored.iloc[first_scores:])
        connection.execute("INSERT INTO raw.scores BY NAME SELECT * FROM rows")
    weighed += [weigh_rounds(workspace), weigh_rounds(workspace)]
    built.run(MODELS)
    built.run(["test", "--select", "fct_band_reliability", "fct_band_groups", "fct_weights"], unit_tests=True)
    with built.warehouse.connect() as connection:
        marts = {name: connection.execute(f"SELECT * FROM marts.{name}").df() for name in MARTS}
    latest = scored.groupby("forecast_hash", sort=False).tail(1)
    joined = made.merge(latest.drop(columns=["sequence", "hash", "late", *SERIES, "target_open_time"]),
                        left_on="hash", right_on="forecast_hash")  # fmt: skip
    return Live(frame, made, joined, marts, weighed)


def test_forecasts_stand_beside_the_latest_truth(live: Live) -> None:
    shown = live.marts["fct_forecasts"].set_index("hash").sort_values("sequence")
    assert len(shown) == COUNT
    expected = live.latest.set_index("hash")
    for name in ("actual_low", "actual_high", "error_pct", "baseline_error_pct"):
        np.testing.assert_array_equal(shown.loc[expected.index, name], expected[name])
    assert shown.drop(index=expected.index)["error_pct"].isna().all()
    assert len(shown) - len(expected) == 2  # a gap, and one that is still open
    assert len(live.marts["fct_scores"]) > len(expected)  # history stays


def test_live_error_hit_rate_and_coverage_of_the_champion(live: Live) -> None:
    mine = live.latest[(live.latest["case_key"] == "c1") & ~live.latest["late"]]
    (champion,) = live.marts["fct_champions"].query("timeframe == '1h'").to_dict("records")
    hits = mine["direction_hit"].dropna().astype(bool).tolist()
    errors, by_baseline = mine["error_pct"].to_numpy(), mine["baseline_error_pct"].to_numpy()
    assert champion["live_forecasts"] == len(mine) > 40
    assert champion["live_error_pct"] == pytest.approx(float(np.linalg.norm(errors)) / len(mine) ** 0.5, rel=1e-12)
    skill = 1 - np.linalg.norm(errors) / np.linalg.norm(by_baseline)
    assert champion["live_skill"] == pytest.approx(skill, rel=1e-12)
    assert champion["live_hit_rate"] == pytest.approx(sum(hits) / len(hits), rel=1e-12)
    assert champion["live_coverage"] == pytest.approx(mine["covered"].astype(float).mean(), rel=1e-12)


def test_the_reliability_of_the_bands_by_level(live: Live) -> None:
    shown = live.marts["fct_band_reliability"].set_index("level")
    in_time = live.latest[~live.latest["late"]]
    for name in LEVELS:
        level, held, losses = float(name), [], []
        for row in in_time.to_dict("records"):
            if isinstance(row["bands"], str):
                low, high = json.loads(row["bands"])[name]
            elif name == "0.8":
                low, high = row["band_low"], row["band_high"]
            else:
                continue
            held.append(low <= row["actual_low"] and row["actual_high"] <= high)
            below, above, tail = row["actual_low"] - low, row["actual_high"] - high, (1 - level) / 2
            loss = (tail if below > 0 else tail - 1) * below + ((1 - tail) if above > 0 else -tail) * above
            losses.append(50 * loss / row["open"])
        assert shown.loc[level, "forecasts"] == len(held)
        assert shown.loc[level, "coverage"] == pytest.approx(np.mean(held), rel=1e-12)
        assert shown.loc[level, "pinball_pct"] == pytest.approx(np.mean(losses), rel=1e-9)
    assert not shown.loc[[0.5, 0.95], "alarm"].any()
    assert shown.loc[0.8, "alarm"] == (not 0.7 <= shown.loc[0.8, "coverage"] <= 0.9)


def test_the_reliability_of_the_main_interval_by_group(live: Live) -> None:
    shown = live.marts["fct_band_groups"].set_index(["grouped_by", "group_number"]).sort_index()
    last = live.forecasts.set_index("target_open_time")["open"]
    in_time = live.latest[~live.latest["late"]].copy()
    move = np.abs(np.log(last / last.shift()))[in_time["target_open_time"]].to_numpy()
    in_time["hour"] = in_time["target_open_time"].dt.hour
    in_time["volatility"] = (
        1
        + pd.Series(np.array_split(np.arange(len(in_time)), 5))
        .explode()
        .index.to_numpy()[(in_time["high"] / in_time["low"]).rank(method="first").astype(int) - 1]
    )
    in_time["jump"] = np.where(np.isnan(move), np.nan, move >= np.nanquantile(move, 0.95))
    for name in ("hour", "volatility", "jump"):
        by_group = in_time.groupby(name)["covered"].agg(["size", "mean"])
        assert list(shown.loc[name].index) == list(by_group.index)
        np.testing.assert_array_equal(shown.loc[name, "forecasts"], by_group["size"])
        np.testing.assert_allclose(shown.loc[name, "coverage"], by_group["mean"], rtol=1e-12)
        variance = by_group["mean"] * (1 - by_group["mean"]) / by_group["size"]
        np.testing.assert_allclose(shown.loc[name, "coverage_se"], variance**0.5, rtol=1e-9)


def test_the_weights_after_every_round(live: Live) -> None:
    frame = live.candles.set_index("open_time")
    ratio, moves = frame["high"] / frame["low"], np.log(frame["close"]).diff()
    moves[START + pd.Timedelta(hours=GAP + 1)] = np.nan  # a return across a gap is none
    weights: dict[str, float] = {}
    shown = live.marts["fct_weights"].set_index(["round_time", "contender"])["weight"]
    rounds = live.latest[~live.latest["late"]].sort_values("target_open_time")
    for row in rounds.to_dict("records"):
        time = row["target_open_time"]
        errors = json.loads(row["rival_errors"]) if isinstance(row["rival_errors"], str) else {}
        errors = errors or {"ewma_range": row["baseline_error_pct"]}
        if "ridge" in errors:
            errors["ridge c1"] = errors.pop("ridge")
        worst, span = max(errors.values()), max(errors.values()) - min(errors.values())
        by_ratio = ratio[:time].rank(pct=True, method="max")[time]
        by_move = (moves[:time] - moves[:time].mean()).abs().rank(pct=True, method="max")[time]
        g = (by_ratio * (by_ratio if np.isnan(by_move) else by_move)) ** 0.5
        start = np.mean(list(weights.values())) if weights else 0.5
        for name in {*weights, *errors}:
            weight = weights.get(name, start)
            s = 0.0 if name not in errors else (worst - errors[name]) / span if span else 1.0
            weights[name] = weight + 2 / 49 * ((weight + s * g) / (1 + g) - weight)
        assert shown[time].to_dict() == pytest.approx(weights, rel=1e-12)
    assert set(shown.index.get_level_values("round_time")) == set(rounds["target_open_time"])
    newest = live.marts["fct_weights"].query("is_latest")
    assert set(newest["contender"]) == {"last_candle", "mean_range", "ewma_range", "ridge c1"}
    assert newest["round_time"].unique().tolist() == [rounds["target_open_time"].max()]


def test_only_new_and_restated_rounds_and_those_behind_them_are_weighed(live: Live) -> None:
    first, again, second, nothing = live.weighed
    assert (again, nothing) == (0, 0)
    # The earliest restated forecast is the first of all: everything behind it is weighed again.
    assert 0 < first < second == len(live.latest[~live.latest["late"]])
