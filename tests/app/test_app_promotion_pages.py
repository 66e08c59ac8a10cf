"""The pages of champions, verdicts and reliability, and the weights: what they show equals SQL on the snapshot."""

from __future__ import annotations

import json

import pytest
from dashboard_harness import BTC, OpenPage, Published, metrics, plain, same, signed, table, values

from app import formats

ORDER = "join markets m using (symbol, timeframe) order by symbol, m.timeframe_ms"


def test_who_serves_since_when_and_why_equals_sql(published: Published, open_page: OpenPage) -> None:
    shown = table(open_page("verdicts"), "serves")
    expected = published.sql(f"select c.* from champions c {ORDER}")
    assert list(shown.series) == [f"{row.symbol} · {row.timeframe}" for row in expected.itertuples()]
    assert list(shown.serves) == [
        f"baseline {row.baseline}".replace("_", " ") if row.is_baseline else row.model.replace("_", " ")
        for row in expected.itertuples()
    ]
    same(shown.since, expected.promoted_at)
    same(shown.n_trials, expected.n_trials)
    retired = expected.state == "retired"
    assert retired.sum() == 1 and all(why.startswith("champion retired") for why in shown.reason[retired])


def test_verdicts_are_counted_and_readable(published: Published, open_page: OpenPage) -> None:
    app = open_page("verdicts")
    counts = published.sql("select decision, count(*) as n from verdicts group by all").set_index("decision").n
    numbers = metrics(app)
    for decision, count in counts.items():
        assert numbers[str(decision).capitalize()] == str(count)
    assert numbers["Verdicts"] == str(counts.sum())
    assert numbers["Openings of sealed rows"] == str(
        published.cell("select count(*) filter (holdout_opened) from verdicts")
    )
    page = plain(app)
    won = published.sql("select * from verdicts where gain is not null order by sequence desc").iloc[0]
    for words in (
        f"{won.model} became champion of {won.symbol} · {won.timeframe}",
        f"gain over the champion {signed(100 * won.gain, 1)} (required: {signed(100 * won.minimal_gain, 1)})",
        f"p = {won.p_value:.3f} over {won.n_days} days (required: at most {won.alpha:g})",
        f"{won.holdout_rows:,.0f} sealed rows of 2023-11-01 to 2024-01-15 opened (opening {won.holdout_openings}): "
        f"skill {signed(100 * won.holdout_skill, 1)}",
    ):
        assert words in page
    gone = published.sql("select * from verdicts where decision = 'retired'").iloc[0]
    assert f"{gone.model} was retired for {gone.symbol} · {gone.timeframe}; the baseline serves" in page
    assert f"review over {gone.review_rows} rows: skill {signed(100 * gone.review_skill, 1)}" in page


def test_the_timeline_shows_every_verdict_and_when_a_model_served(published: Published, open_page: OpenPage) -> None:
    figure = json.loads(open_page("verdicts").get("plotly_chart")[0].proto.spec)
    marks = {t["name"]: len(values(t["y"])) for t in figure["data"] if t["mode"] == "markers"}
    counts = published.sql("select decision, count(*) as n from verdicts group by all").set_index("decision").n
    assert marks == {str(name).capitalize(): count for name, count in counts.items()}
    bars = [trace for trace in figure["data"] if trace["mode"] == "lines"]
    assert len(bars) == published.cell("select count(*) from champion_history")


def test_verdicts_of_one_market_and_of_one_kind(published: Published, open_page: OpenPage) -> None:
    app = open_page("verdicts")
    app.selectbox(key="verdicts_of").set_value("BTC/USDT · 1h").run()
    assert metrics(app)["Verdicts"] == str(published.cell(f"select count(*) from verdicts where {BTC}"))
    app.segmented_control(key="decision").set_value("confirmed").run()
    notes = [html.value for html in app.html if "cw-note" in html.value and "<style>" not in html.value]
    assert len(notes) == published.cell(f"select count(*) from verdicts where {BTC} and decision = 'confirmed'") == 1


def test_workers_with_failed_verifications_are_named(published: Published, open_page: OpenPage) -> None:
    shown = table(open_page("verdicts"), "failures")
    expected = published.sql("""select false_claim_worker as worker, count(*) as failures from verdicts
        where false_claim_worker is not null group by all""")
    same(shown.worker, expected.worker)
    same(shown.failures, expected.failures)


def test_every_champion_past_ones_too_with_selection_holdout_and_live(
    published: Published, open_page: OpenPage
) -> None:
    app = open_page("champions")
    shown = table(app, "selection")
    expected = published.sql(f"select h.* from champion_history h {ORDER}, h.is_current desc, h.promoted_at desc")
    assert len(shown) == len(expected) == 9
    same(shown.selection, 100 * expected.skill)
    same(shown.holdout, 100 * expected.holdout_skill)
    same(shown.live, (100 * expected.live_skill).where(expected.live_forecasts >= 20))
    assert list(shown.state) == ["serves" if row.is_current else row.ended_by for row in expected.itertuples()]
    known = expected[expected.live_forecasts >= 20]
    page = plain(app)
    assert (
        f"Mean skill of the {len(known)} champions with all three figures: {signed(100 * known.skill.mean(), 1)} "
        f"when chosen, {signed(100 * known.holdout_skill.mean(), 1)} on sealed rows, "
        f"{signed(100 * known.live_skill.mean(), 1)} live." in page
    )


def test_age_review_and_live_skill_of_the_present_champions_equal_sql(
    published: Published, open_page: OpenPage
) -> None:
    app = open_page("champions")
    shown = table(app, "age_days")
    expected = published.sql(f"select c.* from champions c {ORDER}")
    expected = expected[expected.state == "champion"].reset_index(drop=True)
    same(shown.age_days, expected.age_days)
    same(shown.review, 100 * expected.review_skill)
    same(shown.live, 100 * expected.live_skill)
    btc = expected.iloc[0]
    assert (
        f"{btc.model} is {btc.age_days:.0f} days old. Skill {signed(100 * btc.skill, 1)} when chosen, "
        f"{signed(100 * btc.review_skill, 1)} in the review of 2024-04-14, {signed(100 * btc.live_skill, 1)} live over "
        f"{btc.live_forecasts} forecasts." in plain(app)
    )


def test_the_live_skill_over_time_takes_the_newest_score_and_no_late_forecast(
    published: Published, open_page: OpenPage
) -> None:
    app = open_page("champions")
    app.segmented_control(key="decay_window").set_value(25).run()
    figure = json.loads(app.get("plotly_chart")[1].proto.spec)
    live = values(next(trace for trace in figure["data"] if trace["name"] == "Live")["y"])
    scores = published.sql(f"""
        select arg_max(s.error_pct, s.revision) as model, arg_max(s.baseline_error_pct, s.revision) as baseline
        from scores s where {BTC} and not late group by target_open_time order by target_open_time""")
    assert len(live) == len(scores) - 24
    for at in (0, -1):
        window = scores.iloc[:25] if at == 0 else scores.iloc[-25:]
        assert live[at] == pytest.approx(100 * (1 - ((window.model**2).mean() / (window.baseline**2).mean()) ** 0.5))


def test_coverage_of_every_interval_equals_sql_and_the_alarm_is_named(
    published: Published, open_page: OpenPage
) -> None:
    app = open_page("reliability")
    shown = table(app, "coverage")
    expected = published.sql(f"select b.* from band_reliability b {ORDER}, b.level")
    same(shown.coverage, 100 * expected.coverage)
    same(shown.forecasts, expected.forecasts)
    same(shown.pinball_pct, expected.pinball_pct)
    inside = (shown.lower < shown.coverage) & (shown.coverage < shown.upper)
    assert inside[(shown.coverage > 0) & (shown.coverage < 100)].all()
    evaluated = expected[(expected.level == 0.8) & (expected.forecasts >= 50)]
    loud = evaluated[evaluated.alarm].iloc[0]
    assert evaluated.alarm.sum() == 1 and len(evaluated) == 8
    assert (
        f"Alarm: the 80 % interval does not hold in 1 of 8 markets and timeframes: {loud.symbol} · {loud.timeframe} "
        f"({100 * loud.coverage:.0f} %)." in plain(app)
    )


def test_coverage_by_group_is_drawn_with_its_standard_error_and_an_alarm_is_named(
    published: Published, open_page: OpenPage
) -> None:
    app = open_page("reliability", "BTC/USDT · 1h")
    expected = published.sql(f"""
        select *, case grouped_by when 'hour' then 1 when 'volatility' then 2 else 3 end as place
        from band_groups where {BTC} order by place, group_number""")
    figures = [json.loads(chart.proto.spec)["data"] for chart in app.get("plotly_chart")]
    groups = [data for data in figures if data and "standard error" in data[0].get("hovertemplate", "")]
    drawn = [trace for data in groups for trace in data]
    assert len(groups) == 3
    points = {
        name: figure
        for trace in drawn
        for name, *figure in zip(trace["x"], values(trace["y"]), values(trace["error_y"]["array"]), strict=True)
    }
    assert len(points) == len(expected) == 24 + 5 + 2
    for row in expected.itertuples():
        assert points[row.group_name] == pytest.approx([100 * row.coverage, 100 * row.coverage_se])
    assert [(trace["name"], trace["x"]) for trace in drawn if trace["name"] == "alarm"] == [("alarm", ["hour 14"])]
    number = published.cell("select count(*) from band_groups")
    assert f"Alarm in 1 of {number} groups of candles: BTC/USDT · 1h hour 14 (55 %)." in plain(app)


def test_live_error_and_the_error_at_selection_equal_sql(published: Published, open_page: OpenPage) -> None:
    shown = table(open_page("reliability"), "model_change")
    expected = published.sql(f"select c.* from champions c {ORDER}")
    expected = expected[~expected.is_baseline]
    assert len(shown) == 4
    same(shown.model_change, 100 * (expected.live_error_pct / expected.rmse_pct - 1))
    same(
        shown.baseline_change,
        100 * (expected.live_baseline_error_pct / (expected.rmse_pct / (1 - expected.skill)) - 1),
    )


def test_the_weights_of_all_contenders_are_drawn_over_the_rounds(published: Published, open_page: OpenPage) -> None:
    app = open_page("history")
    figure = json.loads(app.get("plotly_chart")[-1].proto.spec)
    champion = published.sql(f"select model, case_key from champions where {BTC}").iloc[0]
    last = published.sql(f"""select if(contender like '% %', left(contender, instr(contender, ' ') + 6), contender) as
        contender, weight from weights where {BTC} and is_latest order by contender""")
    drawn = {trace["name"].removesuffix(" (serves)"): values(trace["y"])[-1] for trace in figure["data"]}
    assert drawn == pytest.approx(dict(zip(last.contender.map(formats.name), last.weight, strict=True)))
    assert [trace["name"] for trace in figure["data"] if "(serves)" in trace["name"]] == [
        f"{formats.name(champion.model)} {champion.case_key[:6]} (serves)"
    ]
