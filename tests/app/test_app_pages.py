"""Each page, run without a browser over a synthetic snapshot: what it shows equals SQL on the same files.

Numbers are formatted here by hand, not by app.formats, so that a wrong format is seen, too.
"""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest
from dashboard_harness import BTC, OpenPage, Published, metrics, plain, same, signed, table, text, values

from app import formats
from app.components import OF_SERIES
from app.forecast_cards import _head
from app.views.history import HISTORY_SQL, MOST_POINTS


def test_every_market_and_timeframe_has_a_card_with_the_forecast_against_the_last_close(
    published: Published, open_page: OpenPage
) -> None:
    app = open_page("forecasts")
    cards = [html.value for html in app.html if "cw-card" in html.value and "<style>" not in html.value]
    current = published.sql("""
        select f.symbol, f.timeframe, f.high, f.low, f.close, f.band_low, f.band_high, c.close as last,
            f.model, f.reason
        from forecasts f join markets m using (symbol, timeframe) join candles c
            on c.symbol = f.symbol and c.timeframe = f.timeframe and c.close_time = f.target_open_time
        where f.is_current order by f.symbol, m.timeframe_ms""")
    assert len(cards) == len(current) == 9
    for card, row in zip(cards, current.itertuples(), strict=True):
        assert row.symbol in card and f">{row.timeframe}<" in card
        for price in (row.high, row.low):
            assert signed(100 * (price / row.last - 1), 2) in card
        assert f"↕ {100 * (row.high - row.low) / row.last:.2f} %" in card and "close: no call" in card
        digits = {"B": 2, "E": 2, "D": 5}[row.symbol[0]]
        for price in (row.low, row.high, row.band_low, row.band_high):
            assert f"{price:,.{digits}f}" in card
        assert (
            (row.reason in card and "baseline serves" in card)
            if row.model == "baseline"
            else row.model.replace("_", " ") in card
        )


def test_a_late_forecast_is_flagged_on_its_card(published: Published, open_page: OpenPage) -> None:
    path = published.folder / "forecasts.parquet"
    frame = published.sql("select * from forecasts")
    frame.loc[frame.is_current & (frame.symbol == "ETH/USDT") & (frame.timeframe == "4h"), "late"] = True
    frame.to_parquet(path)
    app = open_page("forecasts")
    late = [html.value for html in app.html if "cw-chip late" in html.value]
    assert len(late) == 1
    assert "ETH/USDT" in late[0] and ">4h<" in late[0]


def test_a_forecast_whose_candle_is_over_is_marked_closed(published: Published, open_page: OpenPage) -> None:
    assert not any(">closed<" in html.value for html in open_page("forecasts").html)
    pointer = published.store / "published" / "current.json"
    # At 13:00 the candles of 12:00 to 13:00 have closed, the ones of four hours and of a day have not.
    pointer.write_text(
        pointer.read_text().replace('"exchange_time": "2024-04-21T12:05', '"exchange_time": "2024-04-21T13:00')
    )
    closed = [html.value for html in open_page("forecasts").html if ">closed<" in html.value]
    assert len(closed) == 3 and all(">1h<" in card for card in closed)


def test_a_card_opens_its_market_and_the_choice_stays_on_the_next_page(
    published: Published, open_page: OpenPage
) -> None:
    app = open_page("forecasts")
    button = next(button for button in app.button if button.label == "Open DOGE/USDT · 4h")
    button.click().run()
    assert app.selectbox(key="series").value == "DOGE/USDT · 4h"
    last = published.cell(
        "select close from candles where symbol = 'DOGE/USDT' and timeframe = '4h' order by open_time desc limit 1"
    )
    assert metrics(app)["Last close"] == f"{last:,.5f}"
    app.switch_page("views/models.py").run()
    assert app.selectbox(key="series").value == "DOGE/USDT · 4h"


def test_the_timeframe_filter_leaves_only_its_cards(published: Published, open_page: OpenPage) -> None:
    app = open_page("forecasts")
    app.segmented_control(key="timeframe_filter").set_value("1d").run()
    cards = [html.value for html in app.html if "cw-card" in html.value and "<style>" not in html.value]
    assert len(cards) == 3 and all(">1d<" in card for card in cards)


def test_past_forecasts_and_live_numbers_equal_sql(published: Published, open_page: OpenPage) -> None:
    app = open_page("forecasts")
    shown = table(app, "actual_high")
    expected = published.sql(
        f"select * from forecasts where {BTC} and scored_at is not null order by target_open_time desc limit 60"
    )
    for column in ("target_open_time", "error_pct", "baseline_error_pct", "high", "actual_low", "covered", "late"):
        same(shown[column], expected[column])
    live = published.sql(f"select * from champions where {BTC}").iloc[0]
    numbers = metrics(app)
    assert numbers["Scored"] == str(live.live_forecasts)
    assert numbers["Live error"] == f"{live.live_error_pct:.3f} %"
    assert numbers["Baseline's"] == f"{live.live_baseline_error_pct:.3f} %"
    assert numbers["Live skill"] == signed(100 * live.live_skill, 1)
    assert numbers["Coverage"] == f"{100 * live.live_coverage:.0f} %"
    assert numbers["Hit rate"] == f"{100 * live.live_hit_rate:.0f} %"


def test_the_price_chart_holds_the_last_candles_and_the_forecast_candle(
    published: Published, open_page: OpenPage
) -> None:
    app = open_page("forecasts")
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    candles, forecast = (trace for trace in figure["data"] if trace["type"] == "candlestick")
    # 80 candles are asked for; two of them are gaps and have no prices.
    assert len(values(candles["x"])) == len(values(candles["close"])) == 78
    row = published.sql(f"select * from forecasts where {BTC} and is_current").iloc[0]
    assert [values(forecast[name])[0] for name in ("open", "high", "low", "close")] == [
        row.open,
        row.high,
        row.low,
        row.close,
    ]
    interval = next(shape for shape in figure["layout"]["shapes"] if shape["type"] == "rect")
    assert (interval["y0"], interval["y1"]) == (row.band_low, row.band_high)


def test_the_forecast_is_explained_as_a_sum_of_its_inputs(published: Published, open_page: OpenPage) -> None:
    app = open_page("forecasts")
    row = published.sql(f"select * from forecasts where {BTC} and is_current").iloc[0]
    shown = table(app, "range")
    assert list(shown.name) == ["har_range_6", "season_next", "All other inputs", "Base", "Forecast"]
    assert list(shown.value)[:2] == [0.0123, 1.25]
    for name in ("high", "low", "close"):
        label = 100 * math.log(row[name] / row.open)
        assert list(shown[name]) == pytest.approx([share * label for share in (0.4, 0.2, 0.1, 0.3, 1.0)])
    assert list(shown["range"]) == pytest.approx(list(shown.high - shown.low))
    assert "Novelty 0.42 of the limit: within it." in plain(app)


@pytest.mark.parametrize(
    ("novelty", "served", "said"),
    [
        (0.9, True, ["0.90 of the limit: within it.", "No contributions of inputs. A model of the family"]),
        (1.7, False, ["1.70 of the limit: beyond it, so the baseline serves.", "inputs. The baseline has none."]),
    ],
)
def test_a_forecast_without_contributions_says_so(
    published: Published, open_page: OpenPage, novelty: float, served: bool, said: list[str]
) -> None:
    frame = published.sql("select * from forecasts").assign(contributions=None, novelty=novelty)
    if not served:
        frame["case_key"] = None
    frame.to_parquet(published.folder / "forecasts.parquet")
    page = plain(open_page("forecasts"))
    assert all(part in page for part in said)


def test_error_history_equals_sql(published: Published, open_page: OpenPage) -> None:
    app = open_page("history")
    history = published.sql(f"select * from error_history where {BTC} order by trial")
    live = published.sql(f"select * from champions where {BTC}").iloc[0]
    baseline = published.cell(f"select baseline_rmse_pct from leaderboard where {BTC} and rank = 1")
    numbers = metrics(app)
    assert numbers["Cases tested"] == str(len(history))
    assert numbers["Best error"] == f"{history.rmse_pct.min():.3f} %"
    assert numbers["Best skill"] == signed(100 * history.skill.max(), 1)
    assert numbers["Baseline's error"] == f"{baseline:.3f} %"
    assert numbers["Baseline's"] == f"{live.live_baseline_error_pct:.3f} %"
    assert numbers["Live error"] == f"{live.live_error_pct:.3f} %"
    assert numbers["Hit rate"] == f"{100 * live.live_hit_rate:.0f} %"


def test_the_last_point_of_the_live_charts_is_the_mean_over_the_window(
    published: Published, open_page: OpenPage
) -> None:
    app = open_page("history")
    app.segmented_control(key="live_window").set_value(10).run()
    figures = [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]
    last = published.sql(f"""
        select error_pct, direction_hit::int as hit from forecasts
        where {BTC} and scored_at is not null and not late order by target_open_time desc limit 10""")
    error = next(trace for trace in figures[1]["data"] if trace["name"] == "Forecasts")
    assert values(error["y"])[-1] == pytest.approx((last.error_pct**2).mean() ** 0.5)
    hits = next(trace for trace in figures[2]["data"] if trace["name"] == "Hit rate")
    assert values(hits["y"])[-1] == pytest.approx(100 * last.hit.mean())
    # The first point has a full window behind it: of the scored forecasts only the first nine have no point.
    scored = published.cell(f"select count(*) from forecasts where {BTC} and scored_at is not null and not late")
    assert len(values(error["y"])) == scored - 9


def test_sweep_shows_live_progress_and_totals_equal_sql(published: Published, open_page: OpenPage) -> None:
    app = open_page("sweep")
    numbers = metrics(app)
    # From synthetic_snapshot.progress(): 1,587 of 2,400 done, 2,456 s = 40 min 56 s left.
    assert numbers["Done of total"] == "1,587 of 2,400"
    assert (numbers["In progress"], numbers["Failed"]) == ("48", "6")
    assert (numbers["Rate"], numbers["Mean time"], numbers["Time left"]) == ("18.7 / min", "6.10 s", "40 min 56 s")
    assert "66.1 % done" in text(app) and "802 · 51 %" in text(app)
    assert "236 of 266, 1 failed, 6 being tested, 24 never tested, 1 pruned" in text(app)
    assert "results/d/c.corrupt. Find out" in text(app)
    totals = published.sql("""select count(distinct case_key) as cases, count(*) filter (status = 'tested') as tested,
        count(*) filter (status = 'failed') as failed, avg(fit_seconds) as seconds from results""").iloc[0]
    assert numbers["Test cases"] == str(int(totals.cases)) and numbers["Tested"] == str(int(totals.tested))
    assert numbers["Failed in all"] == str(int(totals.failed)) and numbers["Mean fit"] == f"{totals.seconds:.2f} s"
    for row in published.sql("select machine as worker, count(*) as n from results group by machine").itertuples():
        assert f"{row.n} · {100 * row.n / (totals.tested + totals.failed):.0f} %" in text(app)
    failed = published.sql("select * from results where status = 'failed' order by finished_at desc")
    same(table(app, "error").case_key, failed.case_key)
    same(table(app, "error").error, failed.error)


def test_a_sweep_that_fell_silent_is_called_out(published: Published, open_page: OpenPage) -> None:
    assert "no update for" in text(open_page("sweep"))


def test_data_health_equals_sql(published: Published, open_page: OpenPage) -> None:
    app = open_page("health")
    health = published.sql("select * from data_health")
    numbers = metrics(app)
    assert numbers["Series fresh"] == f"{(health.freshness == 'fresh').sum()} of 9"
    assert numbers["Candles"] == f"{health.candles.sum():,}"
    # a gap in the hours is not counted again in the higher timeframes
    assert numbers["Gaps"] == str(health.gaps[health.timeframe == "1h"].sum())
    assert numbers["Checks failed"] == f"{health.checks_failed.sum()} of {health.checks_run.sum()}"
    assert numbers["Quarantined, all time"] == str(published.cell("select count(*) from quarantine"))
    assert numbers["Quarantined, last load"] == "4"
    said = plain(app)
    assert "Not fresh: DOGE/USDT · 1h." in said
    assert "The last load failed: DOGE/USDT." in said
    assert "The last load sent rows to quarantine: DOGE/USDT (4)." in said
    assert "every last load went well" not in said
    rules = table(app, "checks").set_index("rule")
    expected = published.sql("""
        select rule, count(*) as checks, count(*) filter (not success) as failed, sum(rows_failed) as rows_failed,
            sum(rows_failed_ever) as rows_failed_ever from quality_checks group by rule""")
    expected = expected.assign(rule=expected.rule.map(formats.name)).set_index("rule").loc[rules.index]
    for column in ("checks", "failed", "rows_failed", "rows_failed_ever"):
        same(rules[column], expected[column])
    assert len(table(app, "loaded_at")) == 4


def test_text_of_the_data_is_never_run_as_markup(published: Published, open_page: OpenPage) -> None:
    frame = published.sql("select * from forecasts")
    frame["model"] = "<img src=x onerror=alert(1)>"
    frame.to_parquet(published.folder / "forecasts.parquet")
    app = open_page("forecasts")
    assert not any("<img" in html.value for html in app.html)


def test_the_head_of_a_card_is_the_range_whether_or_not_the_close_moves() -> None:
    row = pd.Series({"low": 99.0, "high": 102.0, "close": 103.0, "last_close": 100.0})
    still = _head(row, {"low": -1.0, "high": 2.0, "close": 0.0})
    assert "↕ 3.00 %" in still and "99.000" in still and "102.00" in still and "from" not in still


def test_a_long_history_is_thinned_and_every_best_case_is_drawn(published: Published, open_page: OpenPage) -> None:
    thinned = HISTORY_SQL.replace(str(MOST_POINTS), "4").replace(OF_SERIES, BTC)
    shown = published.sql(thinned)
    every = published.sql(f"select * from error_history where {BTC} order by trial")
    best = every[every.rmse_pct == every.best_rmse_pct]
    assert set(best.trial) <= set(shown.trial) and len(best) < len(shown) < len(every)
    assert metrics(open_page("history"))["Cases tested"] == str(len(every))


def test_a_whole_verification_says_when(published: Published, open_page: OpenPage) -> None:
    app = open_page("health")
    assert "Whole at 2024-04-21 12:00 UTC: 120 records." in plain(app)
    assert set(table(app, "anchored_by").anchored_by) == {"Test authority"}


@pytest.mark.parametrize("state", ["broken", "never", "missing"])
def test_the_verification_of_the_chains_has_its_states(published: Published, open_page: OpenPage, state: str) -> None:
    file = published.folder / "chains.parquet"
    rows = pd.read_parquet(file)
    rows.loc[1, "problem"] = "scores/0000000007.json is the first bad record: <b>it is missing</b>."
    (rows if state == "broken" else rows.iloc[:0]).to_parquet(file)
    if state == "missing":
        file.unlink()
    said = plain(open_page("health"))
    assert "Whole at" not in said
    for other, words in (
        ("broken", "Broken: scores/0000000007.json is the first bad record"),
        ("never", "Never verified: the nightly run verifies all chains"),
        ("missing", "the snapshot lacks the table of verifications"),
    ):
        assert (words in said) == (state == other)
