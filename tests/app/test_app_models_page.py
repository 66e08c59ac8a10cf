"""The page of the best models: sentences, figures and the leaderboard equal SQL on the snapshot."""

from __future__ import annotations

import json

import pytest
from dashboard_harness import BTC, OpenPage, Published, metrics, plain, same, signed, table, text, values

from app import components, formats


def test_the_overview_counts_the_series_where_a_model_beats_the_baseline(
    published: Published, open_page: OpenPage
) -> None:
    wins = published.cell("""select count(*) from leaderboard l join champions c using (case_key)
        where c.state = 'champion' and l.skill_lower > 0 and l.spa_p_value < 0.05""")
    app = open_page("models")
    assert f"{wins} of 9 series are served by a model proven better than the best baseline." in text(app)
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    drawn = {trace["name"]: len(values(trace["x"])) for trace in figure["data"]}
    assert drawn == {
        "beats the baseline and serves": wins, "worse, or may be luck": 9 - wins, "on its opened holdout": wins
    }  # fmt: skip


def test_a_winner_is_named_with_interval_p_value_and_number_of_tries(published: Published, open_page: OpenPage) -> None:
    best = published.sql(f"select * from leaderboard where {BTC} and is_champion").iloc[0]
    since = published.cell(f"select strftime(promoted_at, '%Y-%m-%d') from champions where {BTC}")
    app = open_page("models")
    low, high = (signed(100 * edge, 1).removesuffix(" %") for edge in (best.skill_lower, best.skill_upper))
    assert (
        f"{best.model} beats the baseline here: skill {signed(100 * best.skill, 1)} (90 %: {low} to {high}), "
        f"p = {best.spa_p_value:.3f} over N = {best.n_trials} trials." in plain(app)
    )
    assert f"It has served since {since}" in text(app)
    numbers = metrics(app)
    assert numbers["p of the search"] == f"{best.spa_p_value:.3f}"
    assert numbers["Trials N"] == str(best.n_trials)
    for label in ("high", "low", "close"):
        assert numbers[f"Skill for {label}"] == signed(100 * best[f"skill_{label}"], 1)


@pytest.mark.parametrize("series", ["BTC/USDT · 1h", "DOGE/USDT · 4h"])
def test_the_sentence_about_the_close_is_honest(published: Published, open_page: OpenPage, series: str) -> None:
    symbol, timeframe = series.split(" · ")
    above = published.cell(f"""select count(*) filter (round(100 * skill_close, 1) > 0) from leaderboard
        where symbol = '{symbol}' and timeframe = '{timeframe}'""")
    none = "No model forecasts the close better than the last close here; the skill is in high and low." in text(
        open_page("models", series)
    )
    assert none == (above == 0) == (series == "BTC/USDT · 1h")


def test_finalists_that_cannot_be_told_apart_are_counted(published: Published, open_page: OpenPage) -> None:
    tied = published.cell(f"select count(*) from leaderboard where {BTC} and in_confidence_set")
    assert tied > 1
    assert f"cannot distinguish {tied} of them" in text(open_page("models"))


def test_the_leaderboard_equals_sql_and_unopened_holdouts_are_sealed(published: Published, open_page: OpenPage) -> None:
    app = open_page("models")
    shown = table(app, "mean_range_percent")
    expected = published.sql(f"select * from leaderboard where {BTC} order by rank")
    assert len(shown) == len(expected) == 30
    for column in ("rank", "model", "feature_set", "lags", "rmse_pct", "baseline", "baseline_rmse_pct", "n_trials"):
        words = column in components.NAMES_OF_CODE
        same(shown[column], expected[column].map(formats.name) if words else expected[column])
    same(shown.skill_percent, 100 * expected.skill)
    same(shown.mean_range_percent, 100 * expected.skill_mean_range)
    same(shown.har_percent, 100 * expected.skill_har_range)
    sealed = expected.holdout_skill.isna()
    assert sealed.sum() == 28
    assert (shown.holdout[sealed.to_numpy()] == "sealed").all()
    assert shown.holdout[0] == f"{100 * expected.holdout_skill[0]:+.1f} %"
    same(shown.lower_percent, 100 * expected.skill_lower)
    same(shown.upper_percent, 100 * expected.skill_upper)
    same(shown.high_percent, 100 * expected.skill_high)
    same(shown.close_percent, (100 * expected.skill_close).round(1) + 0.0)
    standing = published.sql(f"""select if(not is_finalist, '', if(in_confidence_set, 'may be the best', 'finalist'))
        from leaderboard where {BTC} order by rank""")
    same(shown.standing, standing.iloc[:, 0])
    assert list(shown.star) == ["★" if champion else "" for champion in expected.is_champion]


def test_a_series_without_a_winner_says_why(published: Published, open_page: OpenPage) -> None:
    sql = "select * from leaderboard where rank = 1 and symbol = 'ETH/USDT'"
    worse = published.sql(f"{sql} and timeframe = '1d'").iloc[0]
    assert worse.skill < 0
    page = plain(open_page("models", "ETH/USDT · 1d"))
    assert "No model is shown to beat the baseline here. The best of " in page
    assert f"The best of {worse.n_trials} trials has skill {signed(100 * worse.skill, 1)}" in page
    lucky = published.sql(f"{sql} and timeframe = '4h'").iloc[0]
    assert lucky.skill > 0 > lucky.skill_lower
    page = plain(open_page("models", "ETH/USDT · 4h"))
    assert f"No model is shown to beat the baseline here. The best of {lucky.n_trials} trials shows" in page
    low, high = (signed(100 * edge, 1).removesuffix(" %") for edge in (lucky.skill_lower, lucky.skill_upper))
    assert f"shows {signed(100 * lucky.skill, 1)}, but its interval ({low} to {high}) includes 0." in page


def test_a_chosen_row_shows_all_parameters_metrics_and_the_verdict_of_its_case(
    published: Published, open_page: OpenPage
) -> None:
    app = open_page("models")
    best = published.sql(f"select * from leaderboard where {BTC} and rank = 1").iloc[0]
    case = json.loads(best.case_json)
    shown = table(app, "parameter")
    assert dict(zip(shown.parameter, shown.value, strict=True)) == {
        "model.name": case["model"]["name"], "model.alpha": str(case["model"]["alpha"]),
        "features.set": case["features"]["set"], "features.lags": str(case["features"]["lags"]),
        "seeds": "0, 1, 2", "split": "60/20/20",
    }  # fmt: skip
    assert metrics(app)["Error"] == f"{best.rmse_pct:.3f} %"
    assert metrics(app)["Skill"] == signed(100 * best.skill, 1)
    assert metrics(app)["Coverage"] == f"{100 * best.band_coverage:.1f} %"
    assert app.code[0].value == best.case_key
    verdict = published.sql(f"select * from verdicts where case_key = '{best.case_key}' order by sequence").iloc[0]
    assert "lightgbm became champion, in place of ewma ridge" in plain(app)
    assert f"among N = {verdict.n_trials} trials" in text(app)
    assert f"p = {verdict.p_value:.3f} over {verdict.n_days} days" in text(app)

    app.session_state["leaderboard_binance_BTC/USDT_1h"] = {"selection": {"rows": [4], "columns": [], "cells": []}}
    app.run()
    fifth = published.sql(f"select * from leaderboard where {BTC} and rank = 5").iloc[0]
    assert app.code[0].value == fifth.case_key
    assert metrics(app)["Error"] == f"{fifth.rmse_pct:.3f} %"
