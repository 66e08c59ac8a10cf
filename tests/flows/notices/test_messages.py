"""Templates: filled with the fields of an event, and checked when the settings are read."""

from __future__ import annotations

import pytest

from flows.messages import ALARM_KINDS, DEFAULTS, KINDS, OVER, SAMPLES, render, template_problem


def test_the_default_texts_say_the_price_the_signs_and_the_score() -> None:
    assert render("score_band", {}, SAMPLES["score_band"]) == "BTC/USDT 1h trend: 43,210.5 ▲▲ +0.312 (rises)"
    assert render("transaction", {}, SAMPLES["transaction"]) == (
        "BTC/USDT 1h trend: paper buy 0.0231 at 43,210.5, fee 0.998, balance 10,012.40 (signal)"
    )


def test_every_kind_has_a_template_and_every_alarm_one_more_for_its_end() -> None:
    assert set(SAMPLES) == set(DEFAULTS) == {*KINDS, *(kind + OVER for kind in ALARM_KINDS)}
    assert template_problem(DEFAULTS) == ""
    for name in DEFAULTS:
        assert "\n" not in render(name, {}, SAMPLES[name])


def test_a_field_that_is_not_known_is_a_dash_in_any_format() -> None:
    fields = {**SAMPLES["score_band"], "price": None, "score": None}
    assert render("score_band", {}, fields) == "BTC/USDT 1h trend: - ▲▲ - (rises)"
    assert render("score_band", {}, {"symbol": "BTC/USDT"}) == "BTC/USDT - -: - - - (-)"


def test_the_template_of_the_settings_replaces_the_default() -> None:
    assert render("score_band", {"score_band": "{symbol}\n{{{signs}}}"}, SAMPLES["score_band"]) == "BTC/USDT {▲▲}"


@pytest.mark.parametrize(
    ("name", "template", "problem"),
    [
        ("bandit", "{symbol}", "unknown template 'bandit'; use one of score_band, transaction, silence, silence_over"),
        ("score_band", "{pair}", "score_band: unknown field {pair}; use exchange, symbol, timeframe, signal, time"),
        ("silence", "{symbol}", "silence: unknown field {symbol}; use since, hours, limit_hours"),
        ("score_band", "{}", "score_band: unknown field {}; use exchange"),
        ("score_band", "{0}", "score_band: unknown field {0}; use exchange"),
        ("score_band", "{score.__class__}", "unknown field {score.__class__}; use"),
        ("score_band", "{signs[0]}", "unknown field {signs[0]}; use"),
        ("score_band", "{score:{price}}", "{score} has a field within its format; write the format itself"),
        ("score_band", "{symbol:.2f}", "a format does not fit its field (Unknown format code 'f'"),
        ("score_band", "50 } {symbol}", "Single '}' encountered in format string; write a brace of the text twice"),
        ("score_band", "{symbol", "expected '}' before end of string; write a brace of the text twice"),
    ],
)
def test_a_template_that_cannot_be_filled_is_one_clear_error(name: str, template: str, problem: str) -> None:
    assert problem in template_problem({"silence": "{hours:.1f}", name: template})


def test_the_remedies_of_the_errors_work() -> None:
    for template in ("50 }} {symbol}", "{{symbol", "{score:+.2f}", "{symbol}"):
        assert template_problem({"score_band": template}) == ""
