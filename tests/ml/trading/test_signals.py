"""Signals: scores, rules, steps beyond thresholds, and the TOML files that define them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import ConfigurationError
from ml.trading.signals import Signal, band_of, combined, in_ranges, read_signals, rise_and_fall, smoothed
from tests.conftest import REPOSITORY

NAN = np.nan
SOURCES = ({"target": "next_candle"},)


def signal(**changes: object) -> Signal:
    return Signal.model_validate({"name": "one", "sources": SOURCES, **changes})


@pytest.mark.parametrize(("how", "score"), [("difference", 0.4), ("relative", 0.5), ("largest", 0.6)], ids=str)
def test_a_rise_of_6_and_a_fall_of_2_tenths(how: str, score: float) -> None:
    found = signal(combine=how).score(np.array([[0.6]]), np.array([[0.2]]))
    assert found == pytest.approx([score])


def test_sides_without_any_chance_have_the_score_0_and_missing_ones_none() -> None:
    rise, fall = np.array([0.0, NAN, 0.1]), np.array([0.0, 0.5, NAN])
    for how in ("difference", "relative", "largest"):
        found = combined(rise, fall, how)
        assert found[0] == 0 and np.isnan(found[1]), how


def test_sources_are_averaged_by_weight_then_scaled_and_clipped() -> None:
    sources = [{"target": "highlow2", "weight": 3.0}, {"target": "trade", "weight": 1.0}]
    one = signal(sources=sources, coefficient=2.0, constant=0.1)
    rise, fall = np.array([[0.4, 0.8], [1.0, 1.0]]), np.array([[0.2, 0.2], [0.0, 0.0]])
    assert one.score(rise, fall) == pytest.approx([2 * (0.5 - 0.2) + 0.1, 1.0])


def test_a_mean_below_the_point_threshold_counts_as_0() -> None:
    one = signal(point_threshold=0.5)
    rise, fall = np.array([[0.4], [0.5], [NAN]]), np.array([[0.1], [0.7], [0.1]])
    np.testing.assert_allclose(one.score(rise, fall), [0.0, -0.2, NAN])


def test_smoothing_by_hand() -> None:
    values = np.array([1.0, NAN, 3.0, 5.0])
    np.testing.assert_allclose(smoothed(values, "mean", 2), [1.0, NAN, 3.0, 4.0])
    decay = 1 / 3  # a span of 2
    ewm = [1.0, NAN, (3 + decay**2) / (1 + decay**2), (5 + 3 * decay + decay**3) / (1 + decay + decay**3)]
    np.testing.assert_allclose(smoothed(values, "ewm", 2), ewm)


@settings(max_examples=50)
@given(
    st.lists(st.one_of(st.floats(0, 1), st.just(NAN)), min_size=2, max_size=60),
    st.sampled_from(["mean", "ewm"]),
    st.integers(1, 6),
    st.data(),
)
def test_a_smoothed_score_depends_on_its_memory_alone(
    values: list[float], how: str, span: int, data: st.DataObject
) -> None:
    every, one = np.array(values), signal(smooth=how, span=span)
    cut = data.draw(st.integers(1, len(every)))
    full = smoothed(every, how, span)
    np.testing.assert_array_equal(smoothed(every[:cut], how, span), full[:cut])
    last = smoothed(every[max(cut - one.memory, 0) : cut], how, span)[-1]
    np.testing.assert_allclose(last, full[cut - 1], rtol=1e-12)


@pytest.mark.parametrize(
    ("score", "long_only", "side"),
    [
        (0.3, False, 1), (0.2, False, 1), (0.19, False, NAN), (0.0, False, NAN), (-0.19, False, NAN),
        (-0.2, False, -1), (-0.3, False, -1), (-0.2, True, 0), (0.2, True, 1), (NAN, False, NAN), (NAN, True, NAN),
    ],
)  # fmt: skip
def test_one_score_against_its_thresholds(score: float, long_only: bool, side: float) -> None:
    found = signal(long_only=long_only).sides(np.array([score]), None, 0.2, -0.2)
    np.testing.assert_array_equal(found, [side])


def test_two_scores_have_to_agree() -> None:
    one = signal(rule="two_scores", second=[{"target": "trade"}], second_buy=0.1, second_sell=-0.1)
    score = np.array([0.3, 0.3, 0.3, -0.3, -0.3, -0.3, 0.0, 0.3])
    second = np.array([0.2, 0.1, 0.09, -0.2, -0.1, -0.09, 1.0, NAN])
    np.testing.assert_array_equal(one.sides(score, second, 0.2, -0.2), [1, 1, NAN, -1, -1, NAN, NAN, NAN])


def test_steps_rise_by_a_step_beyond_each_threshold() -> None:
    cases = {0.1999: 0, 0.2: 1, 0.2499: 1, 0.25: 2, 0.3: 3, -0.4: -1, -0.46: -2, 0.0: 0}
    assert {score: band_of(score, 0.2, -0.4, 0.05) for score in cases} == cases


def test_rise_and_fall_of_each_kind_of_target() -> None:
    probabilities = np.array([[0.7, 0.2]])
    sources = {one: signal(sources=[{"target": one}]).sources[0] for one in ("highlow2", "topbot2", "trade")}
    assert [float(side[0]) for side in rise_and_fall(sources["highlow2"], probabilities, None, 1)] == [0.7, 0.2]
    assert [float(side[0]) for side in rise_and_fall(sources["topbot2"], probabilities, None, 1)] == [0.2, 0.7]
    classes = np.array([[0.1, 0.3, 0.6]])  # sell, hold, buy
    assert [float(side[0]) for side in rise_and_fall(sources["trade"], classes, None, 1)] == [0.6, 0.1]
    candle, scale = np.array([[0.03, -0.01, -0.002]]), np.array([0.02])
    close, middle = (signal(sources=[{"quantity": one}]).sources[0] for one in ("close", "range"))
    rise, fall = rise_and_fall(close, candle, scale, 0.1)
    assert rise[0] == 0 and fall[0] == pytest.approx(np.tanh(1.0))
    assert in_ranges(middle, candle, scale) == pytest.approx([0.5])


def test_the_key_is_that_of_the_content() -> None:
    one = signal()
    assert one.key == signal(name="other", description="text", symbols=["A/B"], band_step=0.1).key
    others = [
        signal(long_only=True), signal(smooth="mean", span=3), signal(stops=1.0), signal(coefficient=2.0),
        signal(sizing={"kind": "fraction", "amount": 0.5}), signal(horizon=3), signal(grid={"quantiles": [0.5, 0.9]}),
    ]  # fmt: skip
    assert len({one.key, *(other.key for other in others)}) == 8


def test_the_grid_has_each_pair_in_order_once() -> None:
    scores = np.linspace(-1, 1, 101)
    pairs = signal(grid={"quantiles": [0.5, 0.9]}).grid.pairs(scores)
    np.testing.assert_allclose(pairs, [[0.0, -0.8], [0.8, -0.8], [0.8, 0.0]], atol=1e-12)
    values = signal(grid={"buy": [0.1, 0.2], "sell": [-0.1, 0.15]}).grid.pairs(scores)
    assert values.tolist() == [[0.1, -0.1], [0.2, -0.1], [0.2, 0.15]]
    assert len(signal().grid.pairs(np.zeros(50))) == 0  # scores that do not differ


def test_the_built_in_signals_are_read() -> None:
    names = [one.name for one in read_signals(())]
    assert names == ["direction", "direction_long", "direction_smooth", "direction_stops"]


BAD = {
    "colour = 1": "signal.0.colour: unknown key",
    'name = "Two words"': "signal.0.name",
    'combine = "sum"': "signal.0.combine",
    'sources = [{ target = "closes_100" }]': "Unknown target of a signal 'closes_100'",
    "sources = []": "signal.0.sources",
    'rule = "two_scores"': 'rule = "two_scores" only',
    "span = 3": 'A span needs smooth = "mean" or "ewm"',
    'sources = [{ target = "trade" }]\nstops = 1.0': "Stops need a forecast of high and low",
    "grid = { buy = [0.1] }": "Give quantities, or buy and sell".replace("quantities", "quantiles"),
    "grid = { buy = [0.1], sell = [0.2] }": "No buy threshold is above a sell threshold",
    "grid = { quantiles = [0.3] }": "signal.0.grid.quantiles.0",
    'sizing = { kind = "fraction", amount = 2.0 }': "the fraction of the equity is 2.0; give at most 1",
    'sizing = { kind = "martingale" }': "signal.0.sizing.kind",
    "sizing = { amonut = 1.0 }": "signal.0.sizing.amonut",
}


def test_each_mistake_in_a_file_is_one_line_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "signals.toml"
    for line, message in BAD.items():
        table = {"name": 'name = "one"', "sources": 'sources = [{ target = "next_candle" }]'}
        kept = [default for key, default in table.items() if not line.startswith(key)]
        path.write_text("\n".join(["[[signal]]", *kept, line]), "utf-8")
        with pytest.raises(ConfigurationError) as caught:
            read_signals([path])
        assert message in str(caught.value) and "\n" not in str(caught.value), line


def test_names_are_used_once_over_all_files(tmp_path: Path) -> None:
    path = tmp_path / "signals.toml"
    path.write_text('[[signal]]\nname = "one"\nsources = [{}]\n', "utf-8")
    assert [one.name for one in read_signals([path])] == ["one"]
    with pytest.raises(ConfigurationError, match=r"Two signals are called 'one'\. Give one of them another name"):
        read_signals([path, path])
    with pytest.raises(ConfigurationError, match="Name an existing file"):
        read_signals([tmp_path / "none.toml"])


def test_the_example_of_the_readme_is_read(tmp_path: Path) -> None:
    text = (REPOSITORY / "flows" / "README.md").read_text("utf-8")
    path = tmp_path / "signals.toml"
    path.write_text(text.partition("<!-- recipe:signals -->\n```toml\n")[2].partition("```")[0], "utf-8")
    assert [one.name for one in read_signals([path])] == ["two_opinions"]
