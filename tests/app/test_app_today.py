"""The start page: its rows equal SQL on the same snapshot; provenance, sentence, alarms and the first run."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import streamlit as st
from dashboard_harness import BTC, OpenPage, Published, metrics, plain, signed
from test_app_figures_that_mislead import a_case, a_champion

from app import calls, clock, evidence, today_rows
from app.navigation import MENU, PAGES
from app.provenance import provenance_of
from app.theme import DOWN, FORECAST, NEUTRAL, UP
from app.views.today import countdown

VIEWS = [page.view for page in PAGES]
NOON = datetime(2024, 4, 21, 12, 30, tzinfo=UTC)


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOON)


def rewrite(published: Published, name: str, **columns: object) -> None:
    published.sql(f"select * from {name}").assign(**columns).to_parquet(published.folder / f"{name}.parquet")


def rows_of(html: list[str]) -> list[str]:
    return [one for one in html if 'class="cw-today"' in one]


def test_every_row_equals_sql(published: Published, open_page: OpenPage, at_noon: None) -> None:
    app = open_page("today")
    rows = rows_of([html.value for html in app.html])
    expected = published.sql("""
        select m.symbol, m.timeframe, f.*, c.close as last, ch.is_baseline, ch.model as champion, ch.skill,
            ch.live_skill, l.skill_lower, l.skill_upper
        from markets m join forecasts f using (symbol, timeframe)
            join candles c on c.symbol = f.symbol and c.timeframe = f.timeframe and c.close_time = f.target_open_time
            join champions ch on ch.symbol = f.symbol and ch.timeframe = f.timeframe
            left join leaderboard l on l.case_key = ch.case_key
        where f.is_current order by m.symbol, m.timeframe_ms""")
    assert len(rows) == len(expected) == 9
    for html, row in zip(rows, expected.itertuples(), strict=True):
        words = re.sub(r"<[^>]+>", " ", html)
        assert f"{row.symbol} · {row.timeframe}" in words
        assert f"↕ {100 * (row.high - row.low) / row.last:.2f} %" in words
        edges = [signed(100 * (edge / row.last - 1), 2) for edge in (row.band_low, row.band_high)]
        assert f"80 % in {edges[0]} to {edges[1]}" in words and "close: no call" in words
        if not row.is_baseline:
            low, high = (signed(100 * edge, 1).removesuffix(" %") for edge in (row.skill_lower, row.skill_upper))
            assert str(row.champion).replace("_", " ") in words and signed(100 * row.skill, 1) in words
            assert f"90 %: {low} to {high}" in words and f"live {signed(100 * row.live_skill, 1)}" in words
        last = published.sql(f"""
            select * from forecasts where symbol = '{row.symbol}' and timeframe = '{row.timeframe}'
                and scored_at is not null and not late order by target_open_time desc limit 50""")
        held = int(last.covered.head(20).sum())
        assert f"{held} of 20 inside" in words and html.count('class="hit"') == held
        errors = [(last[name] ** 2).mean() ** 0.5 for name in ("error_pct", "baseline_error_pct")]
        assert f"{errors[0]:.2f} % against {errors[1]:.2f} %" in words
    page = plain(app)
    proven = published.cell("""select count(*) from champions c join leaderboard l using (case_key)
        where c.state = 'champion' and l.skill_lower > 0 and l.spa_p_value < 0.05""")
    assert f"{proven} of 9 series are served by a model proven better than the best baseline." in page
    assert "Next candle (BTC/USDT · 1h) closes in 00:30:00" in page
    assert "Not fresh: DOGE/USDT · 1h." in page
    alarm = published.sql("select * from band_reliability where alarm").iloc[0]
    said = f"The interval of {alarm.symbol} · {alarm.timeframe} is too narrow: it held {100 * alarm.coverage:.0f} % of"
    assert said in page


def test_all_bars_have_one_scale() -> None:
    frame = pd.DataFrame({"band_low": [99.0, 95.8], "band_high": [101.0, 103.0], "last_close": [100.0, 100.0]})
    scale = today_rows.scale_of(frame)
    assert scale.reach == 4.5  # the widest edge is 4.2 %, the step a half
    assert scale.at(0.0) == 50 and scale.at(4.5) == 100 and scale.at(-4.5) == 0


def test_a_row_opens_its_series_and_the_address_names_it(published: Published, open_page: OpenPage) -> None:
    app = open_page("today")
    next(button for button in app.button if button.label == "Open DOGE/USDT · 4h").click().run()
    assert app.title[0].value == "Forecasts" and app.selectbox(key="series").value == "DOGE/USDT · 4h"


def test_provenance_is_in_the_head_of_every_page(published: Published, open_page: OpenPage, at_noon: None) -> None:
    fresh = published.cell("select count(*) filter (freshness = 'fresh') || '/' || count(*) from data_health")
    for view in VIEWS:
        page = plain(open_page(view))
        assert "LIVE, 25 min 0 s old" in page and f"fresh {fresh}" in page, view


LIVE, LATE = "2024-04-21T12:05:00+00:00", "2026-11-30T10:00:00+00:00"


@pytest.mark.parametrize(
    ("exchanges", "exchange_time", "published_at", "words", "is_old"),
    [
        (["simulated"], LIVE, LATE, "SIMULATED MARKETS at 2024-04-21 12:05 UTC", False),
        (["binance"], LIVE, LATE, "REPLAY at 2024-04-21 12:05 UTC", False),
        (["binance"], LATE, LIVE, "REPLAY at 2026-11-30 10:00 UTC", False),  # a replay that runs ahead
        (["binance"], LIVE, "2024-04-21T12:09:00+00:00", "LIVE, 25 min 0 s old", False),
        (["binance"], "2024-04-21T09:00:00+00:00", "2024-04-21T09:09:00+00:00", "LIVE, 3 h 30 min old", True),
        (["binance"], None, LIVE, "TIME UNKNOWN", True),
        (["binance"], "soon", LIVE, "TIME UNKNOWN", True),
        ([], LIVE, LIVE, "LIVE, 25 min 0 s old", False),
    ],
)
def test_provenance_follows_from_the_exchange_and_its_clock(
    exchanges: list[str], exchange_time: str | None, published_at: str, words: str, is_old: bool
) -> None:
    found = provenance_of(exchanges, exchange_time, published_at, timedelta(hours=1), NOON)
    assert (found.words, found.is_old) == (words, is_old)


def test_a_demo_is_called_simulated_and_few_forecasts_give_no_figure(published: Published, open_page: OpenPage) -> None:
    for file in published.folder.glob("*.parquet"):
        frame = pd.read_parquet(file)
        if "exchange" in frame:
            frame.assign(exchange="simulated").to_parquet(file)
    live = published.sql("select * from champions").assign(live_forecasts=3)
    live.to_parquet(published.folder / "champions.parquet")
    frame = published.sql("select * from forecasts")
    scored = frame[frame.scored_at.notna()].groupby(["symbol", "timeframe"]).tail(3)
    pd.concat([scored, frame[frame.is_current]]).to_parquet(published.folder / "forecasts.parquet")
    today = plain(open_page("today"))
    assert "SIMULATED MARKETS at 2024-04-21 12:05 UTC" in today and "3 of 20 scored, too few" in today
    app = open_page("forecasts")
    numbers = metrics(app)
    for label in ("Live error", "Baseline's", "Live skill", "Coverage", "Hit rate"):
        assert numbers[label] == "\u2013", label
    assert "3 scored so far: too few." in plain(app)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "4 of 9 series are served by a model proven"),
        ({"skill_lower": None}, "4 of 9 series are served by a model. Not yet computed"),
        ({"spa_p_value": 0.4}, "4 more are served by a model that the newest search does not confirm."),
    ],
)
def test_who_serves_is_read_from_the_champions(
    published: Published, open_page: OpenPage, changed: dict[str, object], said: str
) -> None:
    rewrite(published, "leaderboard", **changed)
    for view in ("today", "models"):
        page = plain(open_page(view))
        assert said in page and "No model beats" not in page, view


def test_the_sentence_has_a_state_of_its_own_for_what_is_unknown() -> None:
    command = "<code>candleworks significance</code>"
    served = evidence.Served(series=6, proven=1, unconfirmed=1, unknown=2)
    sentence, tone = evidence.served_sentence(served, command)
    assert tone == "good"
    assert "1 more is served by a model that the newest search does not confirm." in sentence
    assert "2 more are served by a model whose luck is not yet computed" in sentence
    assert evidence.served_sentence(evidence.Served(6, 0, 0, 0), command)[0].startswith("<b>The baseline serves all 6")


BROKEN = {
    "no pointer to a version": lambda store, folder: (store / "published" / "current.json").write_text("{"),
    "leaderboard deleted": lambda store, folder: (folder / "leaderboard.parquet").unlink(),
    "leaderboard of garbage": lambda store, folder: (folder / "leaderboard.parquet").write_bytes(b"PAR1 garbage"),
    "champions deleted": lambda store, folder: (folder / "champions.parquet").unlink(),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_unreadable_is_never_shown_as_a_fact(published: Published, open_page: OpenPage, fault: str) -> None:
    BROKEN[fault](published.store, published.folder)
    for view in ("today", "models", "verdicts"):
        app = open_page(view)
        page = plain(app)
        assert app.error or "Run candleworks publish" in page or "they are broken" in page, view
        for false in ("cases so far failed", "No model beats", "The baseline serves all", "No test case"):
            assert false not in page, (view, false)
    if "leaderboard" in fault:
        assert "Unknown: the snapshot lacks the table of test case" in plain(open_page("models"))


def test_all_failed_is_said_only_where_the_results_say_it(published: Published, open_page: OpenPage) -> None:
    rewrite(published, "leaderboard", symbol="ETH/USDT")
    results = published.cell(f"select count(*) from results where status = 'tested' and {BTC}")
    page = plain(open_page("models", "BTC/USDT · 1h"))
    assert f"{results} results are there." in page and "cases so far failed" not in page
    rewrite(published, "results", status="failed")
    st.cache_resource.clear()
    cases = published.cell(f"select count(distinct case_key) from results where {BTC}")
    assert f"All {cases} cases so far failed" in plain(open_page("models", "BTC/USDT · 1h"))


def test_a_case_that_its_holdout_denies_is_refuted_and_drawn_there(published: Published, open_page: OpenPage) -> None:
    case = a_case(skill=0.052, holdout_skill=-0.07, holdout_rows=1800)
    assert evidence.standing(case, a_champion()) == "refuted"
    html, tone = evidence.headline(case, None, a_champion(is_baseline=True))
    assert "Refuted on the holdout." in html and "\u22127.0 % on its opened holdout" in html and tone == "bad"
    edges = evidence.holdout_edges(case)
    # By hand: half of 2.3 % times the root of 9000 / 1800.
    assert edges == pytest.approx((-0.07 - 0.0115 * 5**0.5, -0.07 + 0.0115 * 5**0.5))
    frame = published.sql("select * from leaderboard")
    frame.loc[(frame["rank"] == 1) & frame.is_champion, "holdout_skill"] = -0.07
    frame.to_parquet(published.folder / "leaderboard.parquet")
    figure = json.loads(open_page("models").get("plotly_chart")[0].proto.spec)
    assert "refuted on the holdout" in [trace["name"] for trace in figure["data"]]


def test_the_luck_meter_grows_with_the_trials() -> None:
    assert evidence.luck_alone(a_case(n_trials=1)) == 0
    # The expected maximum of 20 normal draws is 1.87, by tables of order statistics; the interval is 2.3 % wide.
    assert evidence.luck_alone(a_case(n_trials=20)) == pytest.approx(1.87 * 0.023 / 3.29, rel=0.02)
    assert "Of 20 tries luck alone gives up to <b>+1.3 %</b>" in evidence.luck_sentence(a_case(n_trials=20))
    assert evidence.luck_sentence(a_case(skill_lower=None)) == ""


def test_a_direction_is_called_only_behind_a_test() -> None:
    case = pd.Series({"skill_close": 0.02, "direction_accuracy": 0.53, "direction_se": 0.005, "n_trials": 240})
    assert calls.passes(case)  # 6 standard errors; 3.5 are required of the best of 240
    for changed in ({"direction_accuracy": 0.515}, {"skill_close": -0.01}, {"n_trials": None}, {"direction_se": 0.0}):
        assert not calls.passes(pd.Series(case.to_dict() | changed)), changed
    assert calls.close_call(-0.07, False) == ("close: no call", "none")
    assert calls.close_call(0.001, True) == ("close: no call", "none")
    assert calls.close_call(-0.07, True) == ("close ▼ \u22120.07 %", "down")


def test_a_link_to_an_unknown_series_says_so_on_every_page_with_a_series(
    published: Published, open_page: OpenPage
) -> None:
    for view, key in (
        ("forecasts", "series"),
        ("models", "series"),
        ("history", "series"),
        ("verdicts", "verdicts_of"),
    ):
        app = open_page(view, query={key: "LTC/USDT · 1h"})
        assert any("LTC/USDT · 1h, which is not in this snapshot" in warning.value for warning in app.warning), view
        assert app.selectbox(key=key).value in ("BTC/USDT · 1h", "All markets")


def test_the_first_run_shows_its_progress_on_every_page(empty_store: Path, open_page: OpenPage, at_noon: None) -> None:
    (empty_store / "datasets" / "d").mkdir(parents=True)
    (empty_store / "datasets" / "d" / "meta.json").write_text("{}")
    progress = {"status": "running", "updated_at": "2024-04-21T12:29:00+00:00", "cases_total": 200, "cases_done": 50}
    progress |= {"series": []}
    (empty_store / "published").mkdir()
    path = empty_store / "published" / "progress.json"
    path.write_text(json.dumps(progress))
    for view in VIEWS:
        app = open_page(view)
        page = plain(app)
        assert "The first run is at work." in page or view == "sweep", view
        assert "Run `make demo`" not in page, view
        if view != "sweep":
            assert "Sweep: 50 of 200 test cases".replace(" ", "") in page.replace("**", "").replace(" ", ""), view
    path.write_text(json.dumps(progress | {"updated_at": "2024-04-21T11:00:00+00:00"}))
    assert "has not reported for minutes" in plain(open_page("today"))
    path.write_text(json.dumps(progress | {"status": "done"}))
    assert "nothing is published yet" in plain(open_page("today"))


def test_commands_name_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: OpenPage) -> None:
    home = tmp_path / "my home"
    (home / "store").mkdir(parents=True)
    monkeypatch.setenv("CANDLEWORKS_STORE", str(home / "store"))
    assert f"candleworks ingest --home {home}" in plain(open_page("today"))


def test_the_menu_has_six_entries_and_former_addresses_stay() -> None:
    assert list(MENU) == ["Today", "Forecasts", "Models", "Trading", "Search", "Trust"]
    former = {"forecasts", "models", "champions", "verdicts", "reliability", "trading", "history", "sweep", "health"}
    assert former <= {page.path for page in PAGES}


def test_marks_have_a_contrast_of_three_on_both_themes() -> None:
    def light(colour: str) -> float:
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    def contrast(one: str, other: str) -> float:
        low, high = sorted((light(one), light(other)))
        return (high + 0.05) / (low + 0.05)

    style = (Path(today_rows.__file__).parent / "style.css").read_text()
    pairs = {name: colours for name, *colours in re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\)", style)}
    for theme, background in enumerate(pairs["card"]):
        for colour in (UP, DOWN, FORECAST, NEUTRAL):
            assert contrast(colour, background) >= 3, colour
        for name in ("mark", "fc-line", "fc-mid", "fc", "up", "down"):
            assert contrast(pairs[name][theme], background) >= 3, name
        for name in ("ink", "dim", "up", "down", "fc"):
            assert contrast(pairs[name][theme], background) >= 4.5, name


def test_a_countdown_is_in_hours_minutes_and_seconds() -> None:
    assert countdown(timedelta(minutes=41, seconds=12)) == "00:41:12"
