"""The pages Effects, Decision boundary and Workers: every number equals SQL on the snapshot; each state is named."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pandas as pd
import pytest
from dashboard_harness import BTC, OpenPage, Published, metrics, plain, table, values

import app.views.workers as workers_page
from ml.analysis.reports import Period, csv_text, report
from ml.store import Store

SERIES, FEW, NOT_COMPUTED = "BTC/USDT · 1h", "DOGE/USDT · 1d", "ETH/USDT · 4h"


def _floor(value: Any) -> Any:
    """Times as the pages read them, in microseconds."""
    return value.floor("us") if isinstance(value, pd.Timestamp) else value


def figures(app: Any) -> list[Any]:
    return [json.loads(one.proto.spec) for one in app.get("plotly_chart")]


def test_effects_are_ranked_as_published_with_their_intervals(published: Published, open_page: OpenPage) -> None:
    rows = published.sql(f"select * from effects where {BTC} and scope = 'all' order by rank")
    app = open_page("effects", SERIES)
    (bar,) = figures(app)[0]["data"]
    assert values(bar["x"]) == pytest.approx(list(100 * rows.importance))
    assert values(bar["error_x"]["array"]) == pytest.approx(list(100 * (rows.upper - rows.importance)))
    assert [row[0] for row in bar["customdata"]] == list(rows.factor) if isinstance(bar["customdata"], list) else True
    tested = published.cell(f"select count(*) from effect_cases where {BTC} and status = 'tested'")
    failed = published.cell(f"select count(*) from effect_cases where {BTC} and status = 'failed'")
    assert metrics(app) == {"Tested cases": f"{tested} of {tested}", "Failed": f"{failed} of {failed}"}
    assert app.selectbox(key="effects_factor").value == rows.factor[0]


def test_values_of_a_factor_have_mean_n_and_failures_as_sql(published: Published, open_page: OpenPage) -> None:
    app = open_page("effects", SERIES)
    app.selectbox(key="effects_factor").set_value("lags").run()
    expected = published.sql(
        f"""select factors->>'lags' as value, 100 * avg(skill) as mean_skill, count(skill) as n,
            count(*) filter (status = 'failed') as n_failed
        from effect_cases where {BTC} group by value order by value::int"""
    )
    shown = table(app, "mean_skill")
    assert list(shown.value) == list(expected.value)
    for name in ("mean_skill", "n", "n_failed"):
        assert list(shown[name]) == pytest.approx(list(expected[name])), name
    assert list(shown.note.str.startswith("n < 5")) == list(expected.n < 5)


def test_a_filter_reduces_n_everywhere(published: Published, open_page: OpenPage) -> None:
    app = open_page("effects", SERIES)
    app.multiselect(key="effects_where").set_value(["group volume = off"]).run()
    kept = published.cell(f"select count(skill) from effect_cases where {BTC} and (factors->>'group volume') = 'off'")
    every = published.cell(f"select count(skill) from effect_cases where {BTC}")
    assert metrics(app)["Tested cases"] == f"{kept} of {every}"
    (bar,) = figures(app)[0]["data"]
    assert "group volume" not in str(bar["customdata"]), "it has one value left"
    app.selectbox(key="effects_factor").set_value("model").run()
    assert table(app, "mean_skill").n.sum() == kept
    app.toggle(key="effects_best_half").set_value(True).run()
    assert metrics(app)["Tested cases"] == f"{(kept + 1) // 2} of {every}"  # type: ignore[operator]


def test_effects_name_each_state(published: Published, open_page: OpenPage) -> None:
    assert "not computed yet" in plain(open_page("effects", NOT_COMPUTED))
    few = plain(open_page("effects", FEW))
    tested = published.cell("select count(skill) from effect_cases where symbol = 'DOGE/USDT' and timeframe = '1d'")
    assert f"{tested} tested cases: too few that differ to rank factors, 20 are needed." in few
    (published.folder / "effects.parquet").write_bytes(b"broken")
    import streamlit as st  # noqa: PLC0415

    st.cache_resource.clear()
    assert "The effects of this snapshot cannot be read." in plain(open_page("effects", SERIES))


def test_the_boundary_begins_with_what_the_classifier_is_worth(published: Published, open_page: OpenPage) -> None:
    app = open_page("boundary", SERIES)
    assert (
        "random_forest_classifier is right in 62.0% of 2,300 held-out rows, better than always hold (55.0%)."
        in plain(app)
    )
    assert metrics(app)["Right"] == "62.0 %" and metrics(app)["Always hold"] == "55.0 %"
    traces = {trace["name"]: trace for trace in figures(app)[0]["data"]}
    assert {"sell", "hold", "buy", "few train rows", "was sell", "was hold", "was buy"} == set(traces)
    for number, name in enumerate(("sell", "hold", "buy")):
        happened = published.cell(f"select count(*) from boundary_points where {BTC} and happened = {number}")
        assert len(values(traces[f"was {name}"]["x"])) == happened
    sparse = published.cell(f"select count(*) from boundary_cells where {BTC} and is_sparse")
    assert len(values(traces["few train rows"]["x"])) == sparse
    assert "not computed yet" in plain(open_page("boundary", NOT_COMPUTED))


def test_workers_are_counted_as_sql_and_as_the_report(published: Published, open_page: OpenPage) -> None:
    app = open_page("workers")
    month = app.selectbox(key="period").value
    inside = f"strftime(finished_at, '%Y-%m') = '{month}'"
    expected = published.sql(
        f"""select machine, count(*) filter (status = 'tested') as cases, count(*) filter (status = 'failed') as failed,
            sum(fit_seconds) / 3600 as cpu_hours, max(finished_at)::timestamp as last_seen
        from results where {inside} group by machine order by cases desc, machine"""
    )
    shown = table(app, "time_against_fleet")
    for name in expected.columns:
        if name == "cpu_hours":
            assert list(shown[name]) == pytest.approx(list(expected[name]))
        else:
            assert list(shown[name]) == [_floor(value) for value in expected[name]], name
    assert f"{len(expected)} workers, {expected.cases.sum()} cases in {month}," in plain(app)
    assert "Result file set aside: results/d/c.corrupt. Find out <why>." in plain(app)
    # Weighted by what the fleet needed, the times of all workers together are those of the fleet.
    assert shown.share.sum() == pytest.approx(100)
    frame = report(Store(published.store), "contributions", Period.of_month(month))
    rows = list(csv.DictReader(io.StringIO(csv_text(frame), newline="")))
    assert [row["machine"] for row in rows] == list(expected.machine)
    data = figures(app)[0]["data"]
    assert sum(sum(map(int, values(trace["y"]))) for trace in data) == expected.cases.sum()
    best = published.sql(
        f"select machine, 100 * max(skill) as best from results where {inside} and is_ranked group by machine"
    ).set_index("machine")
    assert list(shown.best_skill) == pytest.approx([best.best[name] for name in shown.machine])


def test_the_csv_of_the_page_is_the_report(
    published: Published, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []
    monkeypatch.setattr(workers_page.st, "download_button", lambda label, data, *_, **__: given.append(data))
    app = open_page("workers")
    month = app.selectbox(key="period").value
    assert given[-1] == csv_text(report(Store(published.store), "contributions", Period.of_month(month)))


def test_a_failed_verification_is_named_first(published: Published, open_page: OpenPage) -> None:
    path = published.folder / "verdicts.parquet"
    verdicts = pd.read_parquet(path)
    result = published.sql("select * from results where status = 'tested' limit 1").iloc[0]
    fault = verdicts.iloc[:1].assign(
        case_key=result.case_key, dataset_id=result.dataset_id, rule="false_claim", decision="refused",
        false_claim_worker=result.worker,
    )  # fmt: skip
    pd.concat([verdicts, fault]).to_parquet(path)
    app = open_page("workers")
    shown = table(app, "failed_verifications").set_index("machine")
    assert shown.failed_verifications[result.machine] == 1
    before = published.cell(
        "select count(*) from verdicts where rule = 'false_claim' and false_claim_worker is not null"
    )
    assert shown.failed_verifications.sum() == before, "those of the snapshot too"
    assert "checks failed." in plain(app)
