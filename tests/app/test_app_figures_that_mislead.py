"""Figures that would mislead a stakeholder are not shown.

Luck as live skill, an interval around 0 as a win, a late forecast as a live one, a retired champion as the present one,
a p-value of zero, rows counted twice.
"""

from __future__ import annotations

import pandas as pd
import pytest
from dashboard_harness import BTC, OpenPage, Published, metrics, plain, table

from app.components import live_skill
from app.evidence import close_sentence, headline, p_value_text, standing
from app.limits import ENOUGH_LIVE
from app.skill_charts import skill_intervals, skill_of_all_cases
from app.theme import UP
from app.verdict_texts import figures
from app.views.health import gaps_of_base_candles, market_totals, what_is_wrong
from app.views.reliability import with_intervals

DASH, MINUS = "\u2013", "\u2212"


@pytest.mark.parametrize(("scored", "shown"), [(2, DASH), (ENOUGH_LIVE - 1, DASH), (ENOUGH_LIVE, f"{MINUS}22.0 %")])
def test_live_skill_is_a_dash_while_it_rests_on_few_forecasts(scored: int, shown: str) -> None:
    assert live_skill(pd.Series({"live_forecasts": scored, "live_skill": -0.22})) == shown


@pytest.mark.parametrize(
    ("p_value", "shown"),
    [(1e-9, "p < 0.001"), (0.0412, "p = 0.041"), (None, f"p = {DASH}"), (float("nan"), f"p = {DASH}")],
)
def test_a_p_value_is_never_zero(p_value: float | None, shown: str) -> None:
    assert p_value_text(p_value) == shown


def test_the_baseline_is_in_the_picture_where_every_case_is_better() -> None:
    cases = pd.DataFrame(
        {"model": ["a", "b"], "skill_percent": [2.6, 2.8], "is_champion": [False, True], "rank": [2, 1]}
    )
    low, high = skill_of_all_cases(cases).layout.xaxis.range
    assert low < 0 < high


def test_what_belongs_to_a_market_is_counted_once_and_not_once_a_timeframe() -> None:
    health = pd.DataFrame(
        {
            "exchange": ["binance"] * 3,
            "symbol": ["BTC/USDT", "BTC/USDT", "ETH/USDT"],
            "checks_failed": [1, 1, 0],
            "checks_run": [25, 25, 25],
            "quarantined": [4, 4, 6],
            "quarantined_last_run": [1, 1, 0],
            "gaps": [3, 1, 2],
            "is_base": [True, False, True],
        }
    )
    assert market_totals(health).to_dict() == {
        "checks_failed": 1,
        "checks_run": 50,
        "quarantined": 10,
        "quarantined_last_run": 1,
    }
    assert gaps_of_base_candles(health) == 5


def health_of(*changed: dict[str, object]) -> pd.DataFrame:
    """Two series of market A, the first and the second changed, and a sound market B."""
    sound = {"exchange": "x", "candles": 10, "freshness": "fresh", "last_load_status": "ok", "quarantined_last_run": 0}
    rows = [{"symbol": "A", "series": "A 1h"}, {"symbol": "A", "series": "A 1d"}, {"symbol": "B", "series": "B 1h"}]
    more = [*changed, {}, {}, {}]
    return pd.DataFrame([sound | row | one for row, one in zip(rows, more, strict=False)])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ([], []),
        ([{"freshness": "stale"}], [("Not fresh", "A 1h")]),
        ([{"candles": 0, "freshness": "empty"}] * 2, [("No candle at all", "A")]),
        ([{}, {"candles": 0, "freshness": "empty"}], [("No complete candle yet", "A 1d")]),
        ([{"last_load_status": None}] * 2, [("No load on record", "A")]),
        ([{"last_load_status": "failed"}] * 2, [("The last load failed", "A")]),
        ([{"last_load_status": "stopped"}] * 2, [("The last load was stopped", "A")]),
        ([{"last_load_status": "partial"}] * 2, [("The last load brought less than was asked for", "A")]),
        ([{"quarantined_last_run": 3}] * 2, [("The last load sent rows to quarantine", "A (3)")]),
        ([{"quarantined_last_run": None}] * 2, []),  # a snapshot of an older version
        (
            [{"candles": 0, "freshness": "empty", "last_load_status": "failed"}] * 2,
            [("No candle at all", "A"), ("The last load failed", "A")],
        ),
    ],
)
def test_all_is_well_only_where_nothing_is_wrong(changed: list[dict[str, object]], said: list[tuple[str, str]]) -> None:
    assert what_is_wrong(health_of(*changed)) == said


def a_case(**changed: object) -> pd.Series:
    """A clear case of rank 1, but for what is changed."""
    return pd.Series(
        {"model": "ridge", "rank": 1, "n_trials": 240, "skill": 0.031, "skill_lower": 0.019, "skill_upper": 0.042,
         "spa_p_value": 0.002, "skill_high": 0.05, "skill_low": 0.04, "skill_close": -0.001, "is_finalist": True,
         "holdout_skill": 0.02, "n_validation": 9000, "holdout_rows": 2250}
        | changed
    )  # fmt: skip


def a_champion(**changed: object) -> pd.Series:
    """A champion that serves, but for what is changed."""
    return pd.Series(
        {"model": "ridge", "is_baseline": False, "state": "champion", "reason": "won", "skill": 0.031,
         "promoted_at": pd.Timestamp("2024-03-20")}
        | changed
    )  # fmt: skip


NOT_A_WIN = {
    "the interval includes 0": ({"skill_lower": -0.001}, {}),
    "a search of that size gives as much by luck": ({"spa_p_value": 0.2}, {}),
    "the interval is not known": ({"skill_lower": None}, {}),
    "the champion is retired": ({}, {"state": "retired"}),
    "the baseline serves": ({}, {"is_baseline": True, "state": "baseline"}),
}


def test_only_a_clear_case_of_a_champion_that_serves_is_a_win() -> None:
    html, tone = headline(a_case(), a_case(), a_champion())
    assert tone == "good" and standing(a_case(), a_champion()) == "beats"
    assert "ridge beats the baseline here:</b> skill +3.1 % (90 %: +1.9 to +4.2), p = 0.002 over N = 240 trials" in html


@pytest.mark.parametrize(("case", "champion"), NOT_A_WIN.values(), ids=NOT_A_WIN.keys())
def test_anything_less_is_neither_said_nor_coloured_as_a_win(
    case: dict[str, object], champion: dict[str, object]
) -> None:
    row, serving = a_case(**case), a_champion(**champion)
    html, tone = headline(row, row, serving)
    assert tone != "good" and "ridge beats" not in html
    assert standing(row, serving) != "beats"
    drawn = pd.DataFrame([
        {"label": "a", "skill": 3.1, "lower": 1.9, "upper": 4.2, "holdout": None, "holdout_lower": None,
         "holdout_upper": None, "detail": "", "state": standing(row, serving)}
    ])  # fmt: skip
    marker = skill_intervals(drawn).data[0].marker
    assert marker.symbol.endswith("-open")
    assert marker.color != UP or standing(row, serving) == "looks better"


def test_a_case_whose_interval_includes_0_is_never_blue() -> None:
    assert standing(a_case(skill_lower=-0.001), a_champion()) == standing(a_case(skill_lower=-0.001), None) == "luck"


def test_a_skill_for_the_close_that_rounds_to_nothing_is_not_sold_as_one() -> None:
    case = a_case(skill_close=0.0004)
    sentence = close_sentence(case, pd.DataFrame([case]))
    assert sentence == "No model forecasts the close better than the last close here; the skill is in high and low."
    better = pd.DataFrame([case, a_case(skill_close=0.02, is_finalist=False)])
    assert close_sentence(case, better).startswith("None of the finalists forecasts the close better")


def test_a_result_that_failed_verification_is_not_shown_as_a_skill(published: Published) -> None:
    verdict = published.sql("select *, '' as incumbent from verdicts where rule = 'false_claim'").iloc[0]
    assert figures(verdict)[0].startswith("reported skill")


def test_an_interval_is_not_called_unreliable_on_few_forecasts() -> None:
    observed = pd.DataFrame(
        {
            "level": [0.8, 0.8, 0.8, 0.5],
            "coverage": [0.6, 0.6, 0.8, 0.7],
            "forecasts": [49, 50, 50, 50],
            "alarm": [True, True, None, False],
        }
    )
    evaluated = with_intervals(observed)
    # No alarm is raised for a 50 % interval that held 70 % of the time, but its state is not "holds".
    assert list(evaluated.state) == ["too few", "alarm", "holds", "off"]
    # Wilson's interval of 40 of 50 at 90 %, by hand: centre (0.8 + z^2 / 100) / (1 + z^2 / 50), z = 1.645.
    assert evaluated.lower[2] == pytest.approx(69.27, abs=0.01) and evaluated.upper[2] == pytest.approx(87.65, abs=0.01)


def test_late_forecasts_do_not_count_as_live(published: Published, open_page: OpenPage) -> None:
    for name in ("scores", "forecasts"):
        frame = published.sql(f"select * from {name}")
        mine = (frame.symbol == "BTC/USDT") & (frame.timeframe == "1h")
        frame.loc[mine, "late"] = True
        frame.to_parquet(published.folder / f"{name}.parquet")
    assert "0 of its forecasts are scored" in plain(open_page("champions"))


def test_a_retired_champion_is_shown_as_past_only(published: Published, open_page: OpenPage) -> None:
    app = open_page("champions", "ETH/USDT · 4h")
    shown = table(app, "selection")
    assert list(shown.state[shown.series == "ETH/USDT · 4h"]) == ["retired"]
    assert "ETH/USDT · 4h" not in list(table(app, "age_days").series)
    assert any("Its champion was retired" in info.value for info in app.info)
    serving = table(open_page("verdicts"), "serves").set_index("series")
    assert serving.serves["ETH/USDT · 4h"] == "baseline ewma range"
    cards = [html.value for html in open_page("forecasts").html if "Its champion was retired" in html.value]
    assert len(cards) == 1 and "baseline serves" in cards[0]


def test_the_alarm_of_an_interval_is_on_its_card(published: Published, open_page: OpenPage) -> None:
    loud = [html.value for html in open_page("forecasts").html if "Alarm: the interval is too narrow" in html.value]
    assert len(loud) == 1 and "ETH/USDT" in loud[0] and "66 %" in loud[0]


def test_what_does_not_count_is_said(published: Published, open_page: OpenPage) -> None:
    late = published.cell(f"select count(*) from forecasts where {BTC} and late and scored_at is not null")
    assert late
    page = plain(open_page("forecasts"))
    assert f"{late} late forecasts are shown and not counted." in page
    assert "1 was scored again after the exchange revised the candle; the earlier score is kept." in page
    counted = published.cell(f"select count(*) from forecasts where {BTC} and not late and scored_at is not null")
    assert metrics(open_page("forecasts"))["Scored"] == str(counted)
