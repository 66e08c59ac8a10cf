"""The address of a page has every choice of its reader, so a link shows what was seen."""

from __future__ import annotations

import ast
from pathlib import Path

from dashboard_harness import OpenPage, Published, metrics, table, text

APP = Path(__file__).resolve().parents[2] / "app"
#: Widgets that hold a choice of the reader.
WIDGETS = {
    "checkbox", "color_picker", "date_input", "multiselect", "number_input", "pills", "radio", "segmented_control",
    "select_slider", "selectbox", "slider", "text_input", "time_input", "toggle",
}  # fmt: skip


def widgets() -> list[tuple[str, ast.Call]]:
    """Every widget of the dashboard as (place, call)."""
    return [
        (f"{file.relative_to(APP)}:{call.lineno}", call)
        for file in sorted(APP.rglob("*.py"))
        for call in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in WIDGETS
    ]


def test_every_choice_is_in_the_address() -> None:
    found = widgets()
    assert len(found) > 20
    for place, call in found:
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        bound = keywords.get("bind")
        assert isinstance(bound, ast.Constant) and bound.value == "query-params", f"{place} is not in the address"
        assert "key" in keywords, f"{place} has no name in the address"


def test_the_filters_of_the_effects_are_taken_from_the_address(published: Published, open_page: OpenPage) -> None:
    everything = metrics(open_page("effects", "BTC/USDT · 1h"))["Tested cases"]
    part = open_page("effects", "BTC/USDT · 1h", {"effects_where": "model = ridge", "effects_best_half": "true"})
    assert part.multiselect(key="effects_where").value == ["model = ridge"]
    assert part.toggle(key="effects_best_half").value is True
    assert metrics(part)["Tested cases"] != everything
    chosen = open_page("effects", "BTC/USDT · 1h", {"effects_factor": "lags"})
    assert chosen.selectbox(key="effects_factor").value == "lags"
    assert "Skill by lags" in [head.value for head in chosen.subheader]
    assert "names gone" in text(open_page("effects", query={"effects_factor": "gone"}))


def test_the_filters_of_the_trades_are_taken_from_the_address(published: Published, open_page: OpenPage) -> None:
    app = open_page("trading", "BTC/USDT · 4h", {"trade_side": "long", "only_part": "true"})
    assert app.selectbox(key="trade_side").value == "long"
    assert set(table(app, "side").side) == {"long"}
    assert app.toggle(key="only_part").value is True
    unknown = open_page("trading", query={"trade_side": "sideways"})
    assert "names sideways" in text(unknown)


def test_names_of_the_code_are_words_in_tables(published: Published, open_page: OpenPage) -> None:
    shown = table(open_page("models", "BTC/USDT · 1h"), "star")
    assert not any("_" in name for column in ("model", "baseline", "feature_set") for name in shown[column])
