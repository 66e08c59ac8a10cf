"""The marts over results, verdicts, forecasts and scores: empty at first, then with a small story."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from built import ALL_STORE, Built, configure, load

from flows.warehouse import transform
from flows.warehouse.marts import build_command
from flows.warehouse.verdict_tables import write_verdict_tables
from ml.execution.workers import machine_of
from ml.promotion.finalists import contender_key, is_ranked_result

README = (transform.dbt_project() / "README.md").read_text("utf-8")

HOURS = (
    "SELECT timestamp '2024-01-01' + to_hours(i) AS open_time, 1 AS open, 2 AS high, 0.5 AS low, 1 AS close, "
    "1 AS volume FROM range({}) AS r (i)"
)
SERIES = {"exchange": "test", "symbol": "A/USDT", "timeframe": "1h"}


def insert(connection: Any, table: str, **values: Any) -> None:
    row = {**SERIES, **values}
    if "sequence" in row:
        row.setdefault("hash", f"{table} {row['sequence']}")
    columns = ", ".join(f"? AS {name}" for name in row)
    connection.execute(f"INSERT INTO raw.{table} BY NAME SELECT {columns}", list(row.values()))


def result(connection: Any, case_key: str, minute: int, skill: float | None, **values: Any) -> None:
    row = {
        "case_key": case_key,
        "dataset_id": "d1",
        "result_file": "results/one",
        "status": "failed" if skill is None else "tested",
        "model": f"model of {case_key}",
        "arrival": minute,
        "finished_at": f"2024-01-02 00:{minute:02d}:00",
        "skill": skill,
        "rmse_pct": None if skill is None else 1 - skill,
    }
    row |= {"case_json": f'{{"lags": {minute}, "evaluation": 2}}', **values}
    # as `flows.warehouse.load` fills them
    row["is_ranked"] = is_ranked_result(row["status"], row["case_json"])
    row["contender_key"] = contender_key(row["case_json"])
    if worker := values.get("worker"):
        row["machine"] = machine_of(worker)
    insert(connection, "results", **row)


def tell_the_story(connection: Any) -> None:
    result(connection, "a", 1, 0.02)
    result(connection, "a", 9, 0.90)  # computed twice: the first one counts
    result(connection, "b", 2, None, error="it broke")
    result(connection, "c", 3, 0.05)
    result(connection, "d", 4, float("nan"))
    result(connection, "e", 5, 0.80, case_json='{"target": "trade", "walk_forward": null}', log_loss=0.7)
    result(connection, "f", 6, 0.70, case_json='{"evaluation": 2, "walk_forward": {"refit_every": 24}}')
    result(connection, "g", 7, 0.60, worker="forger:1:2.0")  # its machine failed verification
    insert(connection, "verdicts", sequence=9, symbol="C/USDT", timeframe="1d", case_key="x", decision="refused",
           false_claim_worker="forger:7:8.0", holdout_opened=False)  # fmt: skip
    for case_key, chosen in (("c", True), ("a", False)):
        insert(connection, "significance", case_key=case_key, dataset_id="d1", skill_lower=-0.1, skill_upper=0.1,
               spa_p_value=0.3, is_finalist=True, in_confidence_set=chosen)  # fmt: skip
    verdict = {"dataset_id": "d1", "holdout_opened": True, "n_trials": 3, "baseline": "ewma"}
    insert(connection, "verdicts", sequence=1, case_key="a", model="ridge", decision="promoted", reason="better",
           holdout_skill=0.01, decided_at="2024-01-02 01:00:00", model_id="m1", **verdict)  # fmt: skip
    insert(connection, "verdicts", sequence=2, case_key="c", model="lstm", decision="refused", reason="luck",
           holdout_skill=-0.3, decided_at="2024-01-02 02:00:00", model_id="m2", **verdict)  # fmt: skip
    issued = [(None, False), ("a", False), ("a", False), ("a", True), ("a", False)]
    for sequence, (case_key, late) in enumerate(issued, 1):
        insert(connection, "forecasts", sequence=sequence, hash=f"f{sequence}", case_key=case_key, late=late,
               model_id="m1" if case_key else None,
               target_open_time=f"2024-01-02 0{sequence}:00:00")  # fmt: skip
    # f2 is scored twice, since its candle was revised; f5 is open
    scores = [("f1", 9.0, 9.0), ("f2", 7.0, 7.0), ("f2", 3.0, 5.0), ("f3", 4.0, 5.0), ("f4", 50.0, 1.0)]
    for sequence, (forecast, error, baseline) in enumerate(scores, 1):
        insert(connection, "scores", sequence=sequence, hash=f"s{sequence}", forecast_hash=forecast, error_pct=error,
               baseline_error_pct=baseline, covered=forecast == "f2", direction_hit=True,
               scored_at="2024-01-03 00:00:00")  # fmt: skip


def tell_of_a_reign_that_ended(connection: Any) -> None:
    """A champion that was confirmed with a refit, forecast with both its models, and was retired."""
    series = {"symbol": "B/USDT", "timeframe": "4h", "case_key": "z"}
    verdicts = [("promoted", "m3", None), ("confirmed", "m4", 0.1), ("retired", "m4", -0.2)]
    for sequence, (decision, model_id, review_skill) in enumerate(verdicts, 3):
        insert(connection, "verdicts", **series, sequence=sequence, decision=decision, model="ridge", skill=0.2,
               reason=f"was {decision}", model_id=model_id, review_skill=review_skill, holdout_opened=sequence == 3,
               holdout_skill=0.05 if sequence == 3 else None, decided_at=f"2024-01-0{sequence} 00:00:00")  # fmt: skip
    issued = [("m3", 1.0), ("m4", 7.0), (None, 9.0)]
    for sequence, (model_id, error) in enumerate(issued, 6):
        insert(connection, "forecasts", **series, sequence=sequence, hash=f"f{sequence}", model_id=model_id, late=False,
               target_open_time=f"2024-01-03 0{sequence}:00:00")  # fmt: skip
        insert(connection, "scores", symbol="B/USDT", timeframe="4h", sequence=sequence, hash=f"s{sequence}",
               forecast_hash=f"f{sequence}", error_pct=error, baseline_error_pct=5.0, covered=True,
               scored_at="2024-01-04 00:00:00")  # fmt: skip


def tell_of_loads(connection: Any) -> None:
    loads = [(1, "ok", "fine"), (2, "failed", "no answer")]
    for load_id, status, message in loads:
        insert(connection, "loads", load_id=load_id, status=status, message=message, started_at="2024-01-02 02:30:00",
               rows_received=24, rows_quarantined=1)  # fmt: skip
    for load_id, success in ((1, False), (2, True)):
        insert(connection, "quality_checks", load_id=load_id, rule="positive", success=success, rows_checked=24,
               rows_failed=0 if success else 2)  # fmt: skip
    insert(connection, "quality_checks", load_id=2, rule="off_raster", success=False, rows_checked=24, rows_failed=1)
    for load_id in (1, 2):
        insert(connection, "quarantine", load_id=load_id, rule="off_raster")


def tell_of_a_long_history(connection: Any) -> None:
    """A run in three loads, of which the second is not whole, after a run that was stopped."""
    long = {"symbol": "D/USDT", "started_at": "2024-01-02 02:30:00"}
    insert(connection, "loads", **long, load_id=10, run_id=10, status="stopped", message="not believed",
           rows_received=50, rows_quarantined=50)  # fmt: skip
    insert(connection, "quality_checks", symbol="D/USDT", load_id=10, run_id=10, rule="positive", severity="error",
           success=False, rows_checked=50, rows_failed=50, detail="old")  # fmt: skip
    for load_id, status, refused in ((11, "ok", 2), (12, "partial", 0), (13, "ok", 1)):
        insert(connection, "loads", **long, load_id=load_id, run_id=11, status=status, message=f"load {load_id}",
               rows_received=1000, rows_quarantined=refused)  # fmt: skip
        insert(connection, "quality_checks", symbol="D/USDT", load_id=load_id, run_id=11, rule="positive",
               severity="error", success=refused == 0, rows_checked=1000, rows_failed=refused,
               detail=f"{refused} below 0" if refused else "")  # fmt: skip
        insert(connection, "quality_checks", symbol="D/USDT", load_id=load_id, run_id=11, rule="revision",
               severity="warning", success=True, rows_checked=0, rows_failed=0, detail="not checked: new")  # fmt: skip
    # a run of another market in between is not of this one
    insert(connection, "loads", symbol="E/USDT", load_id=14, run_id=14, status="ok", message="", rows_received=0,
           rows_quarantined=0, started_at="2024-01-02 02:30:00")  # fmt: skip


@pytest.fixture(scope="module")
def story(make_built: Callable[[str], Built], small_dbt: None, loaded_small_dbt: None) -> dict[str, Any]:
    """Marts by name as lists of rows (dictionaries); and under "before" those of the warehouse without any row."""
    built = make_built("store")
    with built.warehouse.connect():
        pass
    built.run(["build"])  # every model and test over empty tables, and by the command of the README every unit test
    built.run(by_hand("dbt test --select test_type:unit"), unit_tests=True)
    before = read(built)
    with built.warehouse.connect() as connection:
        configure(connection, "A", "B", "D", "E")
        load(connection, "A", HOURS.format(24), 1)
        tell_the_story(connection)
        tell_of_a_reign_that_ended(connection)
        tell_of_loads(connection)
        tell_of_a_long_history(connection)
        write_verdict_tables(connection, {})
    built.run(["build", "--select", "tag:candles"])
    warned = built.run(ALL_STORE).warned
    return {"before": before, "warned": warned, **read(built)}


def by_hand(command: str) -> list[str]:
    """dbt's arguments of a command that dbt/README.md gives."""
    (line,) = [line for line in README.splitlines() if line.partition("  ")[0] == command]
    return line.partition("  ")[0].split()[1:]


def test_what_the_readme_calls_the_run_of_every_hour_is_that() -> None:
    hour = by_hand("dbt build --select tag:candles --exclude tag:nightly test_type:unit")
    assert hour == [*build_command("candles"), "test_type:unit"]  # flows leave unit tests out by dbt_place


def read(built: Built) -> dict[str, Any]:
    with built.warehouse.connect() as connection:
        names = [row[0] for row in connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'marts'").fetchall()]  # fmt: skip
        marts = {}
        for name in names:
            found = connection.execute(f"SELECT * FROM marts.{name}")
            columns = [column[0] for column in found.description]
            marts[name] = [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
    return marts


def row_of(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    (row,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return row


def test_an_empty_warehouse_builds_with_all_marts_empty(story: dict[str, Any]) -> None:
    assert len(story["before"]) == 22
    assert not any(story["before"].values())


def test_the_first_result_of_a_case_on_a_data_set_counts_and_nan_is_null(story: dict[str, Any]) -> None:
    results = story["fct_results"]
    assert [row["skill"] for row in sorted(results, key=lambda row: row["case_key"])] == [
        0.02, None, 0.05, None, 0.8, 0.7, 0.6
    ]  # fmt: skip
    assert "loss_model" not in results[0]


def test_the_leaderboard_ranks_by_skill_and_names_champion_holdout_and_trials(story: dict[str, Any]) -> None:
    rows = sorted(story["fct_leaderboard"], key=lambda row: row["rank"])
    found = [(row["rank"], row["case_key"], row["n_trials"], row["holdout_skill"], row["is_champion"]) for row in rows]
    # b failed, e has another target, f many fits, g is of a marked machine: trials, but no ranks; d has no skill: last
    assert found == [(1, "c", 7, -0.3, False), (2, "a", 7, 0.01, True), (3, "d", 7, None, False)]


def test_the_leaderboard_says_how_far_it_could_be_luck_where_that_was_measured(story: dict[str, Any]) -> None:
    names = ("skill_lower", "skill_upper", "spa_p_value", "is_finalist", "in_confidence_set")
    found = {row["case_key"]: tuple(row[name] for name in names) for row in story["fct_leaderboard"]}
    assert found["c"] == (-0.1, 0.1, 0.3, True, True)
    assert found["a"] == (-0.1, 0.1, 0.3, True, False)
    assert found["d"] == (None,) * 5


def test_results_that_are_not_ranked_say_so(story: dict[str, Any]) -> None:
    found = {row["case_key"]: (row["target"], row["is_walk_forward"]) for row in story["fct_results"]}
    assert found["a"] == ("next_candle", False)  # of the first cases, which did not name their target
    assert found["e"] == ("trade", False)
    assert found["f"] == ("next_candle", True)
    assert row_of(story["fct_results"], case_key="e")["log_loss"] == 0.7


def test_a_series_with_a_promoted_case_has_it_as_champion_with_its_live_record(story: dict[str, Any]) -> None:
    champion = row_of(story["fct_champions"], symbol="A/USDT", timeframe="1h")
    assert (champion["model"], champion["model_id"], champion["is_baseline"]) == ("ridge", "m1", False)
    assert (champion["reason"], champion["n_trials"]) == ("better", 3)
    # f2 (its latest score) and f3; f1 was the baseline's, f4 late, f5 is open: sqrt((9 + 16) / 2) against 5
    assert champion["live_forecasts"] == 2
    assert champion["live_error_pct"] == pytest.approx(12.5**0.5)
    assert champion["live_baseline_error_pct"] == pytest.approx(5)
    assert champion["live_skill"] == pytest.approx(1 - 12.5**0.5 / 5)
    assert (champion["live_coverage"], champion["live_hit_rate"]) == (0.5, 1.0)


def test_a_series_without_a_promoted_case_has_the_baseline(story: dict[str, Any]) -> None:
    assert len(story["fct_champions"]) == 12
    champion = row_of(story["fct_champions"], symbol="B/USDT", timeframe="1d")
    assert (champion["model"], champion["is_baseline"]) == ("baseline", True)
    assert champion["reason"] == "no test case has been evaluated yet"
    assert (champion["live_forecasts"], champion["n_trials"]) == (0, 0)


def test_a_champion_has_an_age_by_the_clock_of_the_exchange(story: dict[str, Any]) -> None:
    champion = row_of(story["fct_champions"], symbol="A/USDT", timeframe="1h")
    assert champion["state"] == "champion"
    assert champion["age_days"] == pytest.approx(1.5 / 24)  # promoted at 01:00, the last load began at 02:30
    assert (champion["reviewed_at"], champion["review_skill"]) == (None, None)


def test_a_retired_champion_leaves_the_baseline_with_the_reason_and_its_own_live_record(story: dict[str, Any]) -> None:
    series = row_of(story["fct_champions"], symbol="B/USDT", timeframe="4h")
    assert (series["state"], series["model"], series["is_baseline"]) == ("retired", "baseline", True)
    assert (series["reason"], series["review_skill"], series["age_days"]) == ("was retired", -0.2, None)
    # Only what the baseline itself forecast.
    assert (series["live_forecasts"], series["live_error_pct"]) == (1, 9.0)


def test_the_history_has_past_champions_with_the_error_where_chosen_on_the_holdout_and_live(
    story: dict[str, Any],
) -> None:
    assert len(story["fct_champion_history"]) == 2
    past = row_of(story["fct_champion_history"], symbol="B/USDT")
    assert (past["sequence"], past["model_id"], past["ended_by"], past["is_current"]) == (3, "m4", "retired", False)
    assert (past["skill"], past["holdout_skill"]) == (0.2, 0.05)
    # Of both its models, and of nobody else: sqrt((1 + 49) / 2) against 5.
    assert (past["live_forecasts"], past["live_error_pct"], past["live_skill"]) == (2, pytest.approx(5), 0)
    present = row_of(story["fct_champion_history"], symbol="A/USDT")
    assert (present["ended_by"], present["is_current"], present["live_forecasts"]) == (None, True, 2)
    assert present["live_error_pct"] == pytest.approx(12.5**0.5)


def test_forecasts_carry_their_latest_score_and_the_newest_target_is_current(story: dict[str, Any]) -> None:
    forecasts = {row["hash"]: row for row in story["fct_forecasts"] if row["symbol"] == "A/USDT"}
    errors = {name: row["error_pct"] for name, row in forecasts.items()}
    assert errors == {"f1": 9, "f2": 3, "f3": 4, "f4": 50, "f5": None}
    assert [name for name, row in forecasts.items() if row["is_current"]] == ["f5"]
    assert len(story["fct_scores"]) == 8


def test_the_error_history_runs_along_the_trials_with_the_best_so_far(story: dict[str, Any]) -> None:
    rows = sorted(story["fct_error_history"], key=lambda row: row["trial"])
    assert [(row["trial"], row["case_key"], row["best_skill"]) for row in rows] == [
        (1, "a", 0.02),
        (2, "b", 0.02),  # failed: a trial without an error
        (3, "c", 0.05),
        (4, "d", 0.05),
        (5, "e", 0.05),  # another target and a walk forward: trials whose errors cannot be ranked beside the others
        (6, "f", 0.05),
        (7, "g", 0.05),  # of a machine that failed verification
    ]


def test_data_health_counts_and_measures_the_lag_by_the_clock_of_the_exchange(story: dict[str, Any]) -> None:
    hourly = row_of(story["fct_data_health"], symbol="A/USDT", timeframe="1h")
    assert (hourly["candles"], hourly["gaps"], hourly["quarantined"]) == (24, 0, 2)
    # loads without a run, of older versions, are runs of their own
    assert (hourly["last_run_rows"], hourly["quarantined_last_run"]) == (24, 1)
    assert (hourly["last_load_status"], hourly["last_load_message"]) == ("failed", "no answer")
    assert (hourly["checks_run"], hourly["checks_failed"]) == (2, 1)
    # the last candle closed at midnight, the last load began at 02:30
    assert (hourly["lag_candles"], hourly["freshness"]) == (2.5, "stale")
    daily = row_of(story["fct_data_health"], symbol="A/USDT", timeframe="1d")
    assert (daily["candles"], daily["freshness"]) == (1, "fresh")
    empty = row_of(story["fct_data_health"], symbol="B/USDT", timeframe="1h")
    assert (empty["candles"], empty["freshness"], empty["last_load_status"]) == (0, "empty", None)


def test_quality_checks_are_those_of_the_newest_checked_run(story: dict[str, Any]) -> None:
    rows = [row for row in story["fct_quality_checks"] if row["symbol"] == "A/USDT"]
    assert sorted(row["rule"] for row in rows) == ["off_raster", "positive"]
    assert {row["load_id"] for row in rows} == {2}
    positive = row_of(rows, rule="positive")
    assert (positive["success"], positive["rows_failed"], positive["rows_failed_ever"]) == (True, 0, 2)
    assert (positive["rows_checked"], positive["rows_checked_ever"]) == (24, 48)


def test_a_run_counts_whole_with_all_its_loads(story: dict[str, Any]) -> None:
    health = row_of(story["fct_data_health"], symbol="D/USDT", timeframe="1h")
    assert (health["last_run_rows"], health["quarantined_last_run"]) == (3000, 3)
    assert (health["last_load_status"], health["last_load_message"]) == ("partial", "load 12")
    assert (health["checks_run"], health["checks_failed"], health["checks_not_applicable"]) == (1, 1, 1)
    positive = row_of(story["fct_quality_checks"], symbol="D/USDT", rule="positive")
    assert (positive["run_id"], positive["load_id"], positive["success"]) == (11, 13, False)
    assert (positive["rows_checked"], positive["rows_failed"]) == (3000, 3)
    assert (positive["rows_checked_ever"], positive["rows_failed_ever"]) == (3050, 53)
    assert positive["detail"] == "1 below 0; 2 below 0"
    revision = row_of(story["fct_quality_checks"], symbol="D/USDT", rule="revision")
    assert (revision["rows_checked"], revision["detail"]) == (0, "not checked: new")


def test_a_market_that_never_brought_a_candle_has_its_own_state(story: dict[str, Any]) -> None:
    empty = row_of(story["fct_data_health"], symbol="E/USDT", timeframe="1h")
    assert (empty["freshness"], empty["last_load_status"], empty["last_run_rows"]) == ("empty", "ok", 0)


def test_a_reference_that_leads_nowhere_is_a_warning_of_the_night_that_names_it(story: dict[str, Any]) -> None:
    """The story has verdicts and forecasts on cases without a result."""
    assert set(story["warned"]) == {
        "relationships_fct_forecasts_case_key__case_key__ref_fct_results_",
        "relationships_fct_verdicts_case_key__case_key__ref_fct_results_",
    }
