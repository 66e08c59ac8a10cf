"""Replay, seal receipt and comparison of cases: they show what is sealed and stored, and equal SQL."""

from __future__ import annotations

import json

import pandas as pd
import plotly.graph_objects as go
import pytest
import streamlit as st
from dashboard_harness import BTC, OpenPage, Published, metrics, plain, table

from app import receipt, replay_chart
from app.views.forecasts import FEWEST_STEPS


def sealed(published: Published) -> pd.DataFrame:
    return published.sql(f"select * from forecasts where {BTC} order by target_open_time")


def test_the_replay_draws_the_sealed_forecasts_and_counts_the_score(published: Published) -> None:
    forecasts = sealed(published)
    figure = replay_chart.replay(forecasts, published.sql(f"select * from candles where {BTC} order by open_time"))
    go.Figure(figure.to_dict(), skip_invalid=False)  # the parts that the fast way did not check
    assert len(figure.frames) == len(forecasts) == len(figure.layout.sliders[0].steps)
    for number in (0, 40, len(forecasts) - 1):
        frame, row = figure.frames[number], forecasts.iloc[number]
        candles, interval, expected = frame["data"][:3]
        # The real candle of the moment is not there yet: the last one drawn ended when the forecast's opened.
        assert max(candles["x"]) < f"{row.target_open_time:%Y-%m-%d %H:%M}" == interval["x"][0]
        assert (interval["base"][0], interval["base"][0] + interval["y"][0]) == pytest.approx(
            (row.band_low, row.band_high)
        )
        assert (expected["base"][0], expected["base"][0] + expected["y"][0]) == pytest.approx((row.low, row.high))
        earlier = published.sql(f"""
            select count(*) as scored, count(*) filter (covered) as inside,
                1 - sqrt(sum(error_pct ** 2) / sum(baseline_error_pct ** 2)) as skill
            from forecasts where {BTC} and scored_at is not null and not late
                and target_open_time < '{row.target_open_time}'""").iloc[0]
        score = f"interval held {earlier.inside:.0f} of {earlier.scored:.0f}, skill so far {100 * earlier.skill:+.1f} %"
        title = frame["layout"]["title"]["text"]
        assert title.endswith(score if earlier.scored else "no forecast scored yet")


def test_the_replay_is_on_the_page_and_in_the_address(published: Published, open_page: OpenPage) -> None:
    count = len(sealed(published))
    plain_charts = len(open_page("forecasts").get("plotly_chart"))
    app = open_page("forecasts", query={"replay_shown": "true"})
    charts = [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]
    assert len(charts) == plain_charts + 1
    assert [len(chart["frames"]) for chart in charts if chart.get("frames")] == [count]
    frame = published.sql("select * from forecasts")
    frame[frame.is_current].to_parquet(published.folder / "forecasts.parquet")
    st.cache_resource.clear()
    assert f"a replay follows from {FEWEST_STEPS} on" in plain(open_page("forecasts"))


def test_the_receipt_of_a_forecast_equals_its_seal(published: Published, open_page: OpenPage) -> None:
    row = published.sql(f"select * from forecasts where {BTC} and is_current").iloc[0]
    app = open_page("forecasts")
    page = plain(app)
    assert f"Hash {row.hash}" in page and f"Number in the chain {row.sequence}" in page
    assert "Issued at 2024-04-21 12:00:40 UTC, 40 s after its candle opened: in time, counts" in page
    assert "Candle opened at 2024-04-21 12:00:00 UTC" in page
    assert any(code.value.startswith("candleworks verify") for code in app.code)
    early = row.copy()
    early["issued_at"], early["late"] = row.target_open_time - pd.Timedelta(seconds=5), True
    assert "5.00 s before its candle opened: late, never counted" in dict(receipt.seal_lines(early))["Issued at"]
    early["hash"] = None
    assert receipt.seal_lines(early) == []


def test_marked_cases_are_compared_by_what_differs(published: Published, open_page: OpenPage) -> None:
    app = open_page("models")
    app.session_state["leaderboard_binance_BTC/USDT_1h"] = {"selection": {"rows": [0, 3], "columns": [], "cells": []}}
    app.run()
    cases = published.sql(f"select * from leaderboard where {BTC} and rank in (1, 4) order by rank")
    shown = table(app, "figure").set_index("figure")
    names = [f"#{case['rank']} {case.model.replace('_', ' ')}" for _, case in cases.iterrows()]
    assert list(shown.columns) == names
    parameters = [json.loads(text) for text in cases.case_json]
    assert list(shown.loc["model.alpha"]) == [str(case["model"]["alpha"]) for case in parameters]
    assert list(shown.loc["error"]) == [f"{error:.3f} %" for error in cases.rmse_pct]
    assert "seeds" not in shown.index and "split" not in shown.index  # all cases share them
    app.toggle(key="only_differing").set_value(False).run()
    assert list(table(app, "figure").set_index("figure").loc["split"]) == ["60/20/20"] * 2


def test_filters_and_columns_of_the_leaderboard_are_in_the_address(published: Published, open_page: OpenPage) -> None:
    app = open_page("models", query={"models_shown": "lightgbm", "columns": "holdout", "finalists_only": "true"})
    expected = published.sql(f"select * from leaderboard where {BTC} and model = 'lightgbm' and is_finalist")
    shown = table(app, "skill_percent")
    assert len(shown) == len(expected) > 0 and set(shown.model) == {"lightgbm"}
    assert list(shown.columns) == ["rank", "star", "model", "skill_percent", "holdout"]
    assert metrics(app)["Error"] == f"{expected.sort_values('rank').rmse_pct.iloc[0]:.3f} %"
