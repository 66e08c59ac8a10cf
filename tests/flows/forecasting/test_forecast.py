"""Forecasts and scores over a real warehouse: once each, rightly timed, the baseline where no champion may speak."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flows.forecasting import forecast as forecasting
from flows.forecasting import inputs
from flows.forecasting.forecast import forecast_all, score_all
from flows.ingestion.ingest import ingest_market
from flows.replay import Fault, RecordedCandles, ReplayClock, ReplayServer
from flows.warehouse.load import load_store
from flows.warehouse.marts import transform
from flows.workspace.workspace import Workspace
from ml.evaluation.forecaster import Ensemble, Member, Scaler
from ml.forecasting.chain import Chain
from ml.forecasting.seals import CHAINS, verify_chains
from ml.metrics.conformal import BandScores
from ml.models.linear import RidgeModel
from tests.flows.conftest import hours, installation_at

pytestmark = [
    pytest.mark.warehouse,
    pytest.mark.usefixtures("small_dbt", "loaded_small_dbt"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # raised inside Great Expectations
]


@dataclass(frozen=True)
class Live:
    """A recorded exchange and a workspace that follows it."""

    server: ReplayServer
    workspace: Workspace

    def follow(self, now_ms: int) -> None:
        """Put the clock at a time and bring candles and features up to it."""
        self.server.clock.set(now_ms)
        ingest_market(self.workspace, "BTC/USDT", now_ms)
        transform(self.workspace, "candles")

    def query(self, sql: str) -> pd.DataFrame:
        with self.workspace.warehouse.connect() as connection:
            return connection.execute(sql).df()


@pytest.fixture(scope="module")
def live(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """500 candles loaded, one minute into the next; the tests live through the hours in their order."""
    with ReplayServer(RecordedCandles(recorded, "binance"), ReplayClock(hours(500) + 60_000)) as server:
        markets = {"symbols": ["BTC/USDT"], "timeframes": ["1h"]}
        home = tmp_path_factory.mktemp("live")
        live = Live(server, installation_at(home, server.url, markets=markets))
        live.follow(hours(500) + 60_000)
        yield live


def test_the_next_candle_is_forecast_once_and_by_the_baseline_as_long_as_nothing_is_better(live: Live) -> None:
    (made,) = forecast_all(live.workspace)
    assert pd.Timestamp(made["target_open_time"]).value // 10**6 == hours(500)
    assert made["information_time"] <= made["target_open_time"] <= made["issued_at"]
    assert (made["model"], made["case_key"], made["late"]) == ("baseline", None, False)
    assert made["reason"] == "no model beats the baseline on this series yet"
    assert forecast_all(live.workspace) == []


def test_nothing_is_scored_before_the_candle_has_closed_and_then_exactly_once(live: Live) -> None:
    assert score_all(live.workspace) == []
    live.follow(hours(501) + 60_000)
    (score,) = score_all(live.workspace)
    candle = live.query(f"select * from raw.candles where epoch_ms(open_time) = {hours(500)}").iloc[0]
    assert (score["actual_high"], score["actual_low"]) == (candle["high"], candle["low"])
    assert score_all(live.workspace) == []


def test_two_flows_at_the_same_time_seal_one_forecast(live: Live) -> None:
    made: list[int] = []
    threads = [threading.Thread(target=lambda: made.append(len(forecast_all(live.workspace)))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [0, 1]
    assert Chain(live.workspace.store, "forecasts").verify() == 2


def test_two_flows_at_the_same_time_score_once(live: Live) -> None:
    live.follow(hours(502) + 30_000)
    made: list[int] = []
    threads = [threading.Thread(target=lambda: made.append(len(score_all(live.workspace)))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [0, 1]


def test_a_forecast_is_stamped_when_it_is_sealed_not_when_the_work_on_it_begins(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = forecasting.forecast_candle

    def slow(*arguments: Any, **options: Any) -> Any:
        live.server.clock.advance(7 * 60_000)  # the grace of an hour is 6 minutes
        return original(*arguments, **options)

    monkeypatch.setattr(forecasting, "forecast_candle", slow)
    (made,) = forecast_all(live.workspace)
    assert pd.Timestamp(made["issued_at"]).value // 10**6 == pytest.approx(hours(502) + 30_000 + 7 * 60_000, abs=5_000)
    assert made["late"]
    assert made["deadline"] < made["issued_at"]


def test_a_forecast_after_the_grace_is_marked_late(live: Live) -> None:
    live.follow(hours(503) + 7 * 60_000)  # the grace of an hour is 6 minutes
    (made,) = forecast_all(live.workspace)
    assert made["late"]


def test_after_each_run_the_heads_are_told(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(forecasting, "anchor_heads", lambda store, *_: told.append(Chain(store, "forecasts").head()[1]))
    forecast_all(live.workspace)
    assert told == [Chain(live.workspace.store, "forecasts").head()[1]]


def test_a_missing_candle_leaves_its_forecast_unscored_and_the_gap_visible(live: Live) -> None:
    score_all(live.workspace)
    live.server.faults.add(Fault(kind="gap", start_ms=hours(503), end_ms=hours(504)))
    live.follow(hours(505) + 60_000)
    assert score_all(live.workspace) == []  # candle 503 was forecast and never came
    gap = live.query(f"select is_gap, close from marts.fct_candles where epoch_ms(open_time) = {hours(503)}").iloc[0]
    assert bool(gap["is_gap"])
    assert pd.isna(gap["close"])


CHAMPION = {"model": "ridge", "model_id": "m1", "case_key": "c1"}


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        (1, "1 closed candle is missing before this one: the data are stale"),
        (3, "3 closed candles are missing before this one: the data are stale"),
    ],
)
def test_behind_a_gap_the_baseline_forecasts_the_candle_that_is_open_now(live: Live, missing: int, reason: str) -> None:
    (series,) = live.workspace.settings.series()

    def made(candles_later: int) -> dict[str, Any]:
        now_ms = hours(505 + candles_later) + 60_000
        with live.workspace.warehouse.connect() as connection:
            body = forecasting.forecast_series(live.workspace, connection, series, CHAMPION, now_ms)
        assert body is not None
        return body

    body, fresh = made(missing), made(0)
    assert (body["model"], body["model_id"], body["reason"]) == ("baseline", None, reason)
    assert pd.Timestamp(body["target_open_time"]).value // 10**6 == hours(505 + missing)
    assert pd.Timestamp(body["information_time"]).value // 10**6 == hours(505)
    # It forecasts from the last known close, with a prediction interval for as many candles.
    assert body["open"] == fresh["open"]
    assert body["scale"] == pytest.approx(fresh["scale"] * (1 + missing) ** 0.5)
    assert body["band_low"] < fresh["band_low"]


def test_a_market_that_is_no_longer_traded_is_not_forecast_for_ever(live: Live) -> None:
    (series,) = live.workspace.settings.series()
    with live.workspace.warehouse.connect() as connection:
        for missing, expected in ((24, False), (25, True)):
            now_ms = hours(505 + missing) + 60_000
            body = forecasting.forecast_series(live.workspace, connection, series, CHAMPION, now_ms)
            assert (body is None) == expected


@pytest.mark.parametrize(
    ("lags", "column", "lineage", "reason"),
    [
        (600, "range_high_mean_72", {}, "a gap in the candles is in the input window of the champion ridge"),
        (1, "gone", {}, "the champion ridge needs gone, which the features no longer have"),
        (
            1,
            "range_high_mean_72",
            {"range_high_mean_72": "of before"},
            "the champion ridge was trained on former definitions of range_high_mean_72: the baseline serves until "
            "it is evaluated again, by the nightly run or by `candleworks export` and `candleworks review`",
        ),
    ],
)
def test_a_champion_that_cannot_see_lets_the_baseline_serve_and_says_why(
    live: Live, monkeypatch: pytest.MonkeyPatch, lags: int, column: str, lineage: dict[str, str], reason: str
) -> None:
    class Case:
        input_columns = lineage_columns = (column,)

    Case.lags = lags  # type: ignore[attr-defined]
    monkeypatch.setattr(inputs, "load_model", lambda *_: (Case, None, np.zeros(0)))
    monkeypatch.setattr(inputs, "read_card", lambda *_: {"lineage": lineage})
    monkeypatch.setattr(inputs, "load_novelty", lambda *_: None)
    (series,) = live.workspace.settings.series()
    with live.workspace.warehouse.connect() as connection:
        body = forecasting.forecast_series(live.workspace, connection, series, CHAMPION, hours(505) + 60_000)
    assert body is not None
    assert (body["model"], body["reason"]) == ("baseline", reason)


class Measured:
    """A novelty measure that says what it is told to."""

    def __init__(self, value: float) -> None:
        self.of_window = lambda _: value


@pytest.mark.parametrize("novelty", [None, 0.4, 1.0, 1.7])
def test_beyond_the_limit_the_baseline_serves_and_says_so(
    live: Live, monkeypatch: pytest.MonkeyPatch, novelty: float | None
) -> None:
    class Case:
        input_columns = lineage_columns = ("hour_sin",)
        lags = 1

    model = RidgeModel()
    model.weights, model.intercept = np.array([[0.001], [-0.001], [0.0]]), np.array([0.01, -0.01, 0.0])
    ensemble = Ensemble((Member(Scaler(np.zeros(1), np.ones(1)), model),))
    monkeypatch.setattr(inputs, "load_model", lambda *_: (Case, ensemble, BandScores(np.zeros(0), None)))
    monkeypatch.setattr(inputs, "read_card", lambda *_: {})
    monkeypatch.setattr(inputs, "load_novelty", lambda *_: None if novelty is None else Measured(novelty))
    (series,) = live.workspace.settings.series()
    with live.workspace.warehouse.connect() as connection:
        body = forecasting.forecast_series(live.workspace, connection, series, CHAMPION, hours(505) + 60_000)
    assert body is not None
    assert body["novelty"] == novelty
    if novelty == 1.7:
        assert (body["model"], body["contributions"]) == ("baseline", None)
        assert body["reason"] == (
            "the inputs are unlike those that the champion ridge learnt from: 1.70 times as far from them as its "
            "limit, which 1 % of ordinary candles exceed"
        )
    else:
        assert (body["model"], body["reason"]) == ("ridge", "")
        parts = body["contributions"]
        assert parts is not None
        logs = np.log(np.array([body["high"], body["low"], body["close"]]) / body["open"])
        (one,) = parts["inputs"]
        assert one["column"] == "hour_sin"
        assert np.sum([one["labels"], parts["base"], parts["coherence"]], axis=0) == pytest.approx(logs, abs=1e-12)


def test_stamps_never_run_backwards_when_another_source_with_a_slower_clock_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = installation_at(tmp_path, "http://127.0.0.1:9", markets={"symbols": ["BTC/USDT"]})
    opens = pd.Timestamp(hours(0), unit="ms", tz="UTC")
    times = [opens + pd.Timedelta(seconds=seconds) for seconds in (0, 20, 5)]  # at the start, then before each seal
    answers = iter([int(time.value // 10**6) for time in times])

    def body(_: Any, __: Any, series: Any, *___: Any) -> dict[str, Any]:
        names = ("information_time", "target_open_time", "deadline", "target_close_time")
        stamps = (opens, opens, opens + pd.Timedelta(minutes=6), opens + pd.Timedelta(hours=1))
        return {**series.model_dump(), **{n: t.isoformat() for n, t in zip(names, stamps, strict=True)}}

    monkeypatch.setattr(forecasting, "exchange_time_ms", lambda _: next(answers))
    monkeypatch.setattr(forecasting, "forecast_series", body)
    made = forecast_all(workspace)
    assert [one["issued_at"] for one in made] == [times[1].isoformat()] * 2
    assert verify_chains(workspace.store)[1].problem == ""


def test_a_series_that_fails_of_any_cause_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = installation_at(tmp_path, "http://127.0.0.1:9", markets={"symbols": ["BTC/USDT"]})
    broken, sound = workspace.settings.series()
    refused = {broken}

    def body(_: Any, __: Any, series: Any, *___: Any) -> dict[str, Any]:
        if series in refused:
            raise RuntimeError("a library failed")
        return {**series.model_dump(), "deadline": "2024-01-01T00:06:00+00:00"}

    monkeypatch.setattr(forecasting, "exchange_time_ms", lambda _: hours(0))
    monkeypatch.setattr(forecasting, "forecast_series", body)
    (made,) = forecast_all(workspace)
    assert made["timeframe"] == sound.timeframe
    assert f"{broken} has no forecast of its next candle" in caplog.text and "a library failed" in caplog.text
    refused.add(sound)
    with pytest.raises(RuntimeError, match="a library failed"):
        forecast_all(workspace)


def test_a_revised_candle_adds_a_score_and_keeps_the_old_one(live: Live) -> None:
    before = live.query("select * from raw.scores order by sequence")
    live.server.faults.add(Fault(kind="revise", start_ms=hours(501), end_ms=hours(502), factor=1.0005))
    live.follow(hours(505) + 120_000)
    (restated,) = score_all(live.workspace)
    assert score_all(live.workspace) == []  # the same prices again are no revision
    forecast_all(live.workspace)  # which loads what was sealed
    after = live.query("select * from raw.scores order by sequence")
    pd.testing.assert_frame_equal(after.head(len(before)), before)
    old, new = (row for _, row in after[after["forecast_hash"] == restated["forecast_hash"]].iterrows())
    assert (old["revision"], new["revision"]) == (0, 1)
    assert new["actual_close"] == pytest.approx(old["actual_close"] * 1.0005, rel=1e-6)
    assert new["close_error_pct"] != old["close_error_pct"]
    transform(live.workspace, "store")
    shown = live.query("select * from marts.fct_forecasts").set_index("hash").loc[restated["forecast_hash"]]
    assert (shown["actual_close"], shown["error_pct"]) == (new["actual_close"], new["error_pct"])


def test_the_warehouse_holds_bands_and_rivals_as_json(live: Live) -> None:
    row = live.query("select * from raw.forecasts order by sequence").iloc[0]
    intervals, rivals = json.loads(row["bands"]), json.loads(row["rivals"])
    assert intervals["0.8"] == [row["band_low"], row["band_high"]]
    assert rivals[row["baseline"]] == [row["baseline_high"], row["baseline_low"], row["baseline_close"]]
    score = live.query("select * from raw.scores order by sequence").iloc[0]
    assert json.loads(score["rival_errors"])[row["baseline"]] == pytest.approx(score["baseline_error_pct"])
    assert (score["revision"], bool(score["late"])) == (0, False)


def test_what_was_sealed_and_scored_all_along_verifies(live: Live) -> None:
    load_store(live.workspace)
    reports = verify_chains(live.workspace.store)
    assert [report.problem for report in reports] == [""] * len(CHAINS)
    assert [report.records for report in reports] == [
        live.query(f"select count(*) as n from raw.{name}")["n"].iloc[0] for name in CHAINS
    ]
