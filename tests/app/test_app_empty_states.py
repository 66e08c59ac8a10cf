"""Pages with little to show: no snapshot, empty or missing files, a snapshot from before the promotion gate."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from dashboard_harness import OpenPage, Published, table, text

KEPT = [("markets", "candles"), ("markets", "forecasts", "champions"), ("leaderboard", "results")]
PAGES = [
    "today",
    "forecasts",
    "models",
    "champions",
    "verdicts",
    "reliability",
    "trading",
    "history",
    "sweep",
    "effects",
    "boundary",
    "workers",
    "health",
]
NEW_FILES = (
    "champion_history", "band_reliability", "band_groups", "weights", "trading_rules", "trading_equity",
    "trading_trades", "trading_signals", "effects", "effect_values", "effect_cases", "boundaries", "boundary_cells",
    "boundary_points", "chains",
)  # fmt: skip
NEW_COLUMNS = {
    "leaderboard": "winkler_pct skill_lower skill_upper spa_p_value is_finalist in_confidence_set",
    "champions": "state age_days trained_through reviewed_at review_skill",
    "verdicts": "rule n_days t_statistic alpha minimal_gain spa_p_value holdout_start holdout_end holdout_rows "
    "false_claim_worker review_skill review_rows",
    "forecasts": "bands rivals novelty contributions",
    "results": "machine is_ranked",
    "scores": "revision late rival_errors pinball_pct conformity",
}


@pytest.mark.parametrize("page", PAGES)
def test_without_a_snapshot_each_page_says_what_to_run(empty_store: Path, open_page: OpenPage, page: str) -> None:
    app = open_page(page)
    assert any("Run `" in info.value for info in app.info)


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_snapshot_shows_empty_states(published: Published, open_page: OpenPage, page: str) -> None:
    for file in published.folder.glob("*.parquet"):
        pd.read_parquet(file).iloc[:0].to_parquet(file)
    (published.store / "published" / "progress.json").unlink()
    app = open_page(page)
    assert any("Run `" in info.value for info in app.info)
    assert not app.warning


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("keep", KEPT)
def test_half_missing_files_are_named_and_the_rest_is_shown(
    published: Published, open_page: OpenPage, page: str, keep: tuple[str, ...]
) -> None:
    for file in published.folder.glob("*.parquet"):
        if file.stem not in keep:
            file.unlink()
    app = open_page(page)
    assert "data_health" in app.warning[0].value
    assert not any(name in app.warning[0].value.split(";")[0].replace(",", "").split() for name in keep)


@pytest.mark.parametrize("page", PAGES)
def test_a_broken_pointer_is_an_error_with_a_remedy(published: Published, open_page: OpenPage, page: str) -> None:
    (published.store / "published" / "current.json").write_text("{")
    app = open_page(page)
    assert "candleworks publish" in app.error[0].value


@pytest.fixture
def old_snapshot(published: Published) -> Published:
    """A snapshot from before the promotion gate existed: without its columns and files."""
    for name in NEW_FILES:
        (published.folder / f"{name}.parquet").unlink()
    for name, columns in NEW_COLUMNS.items():
        path = published.folder / f"{name}.parquet"
        pd.read_parquet(path).drop(columns=columns.split()).to_parquet(path)
    return published


@pytest.mark.parametrize("page", PAGES)
def test_a_snapshot_from_before_the_promotion_gate_is_shown_as_far_as_it_goes(
    old_snapshot: Published, open_page: OpenPage, page: str
) -> None:
    app = open_page(page)
    assert all(name in app.warning[0].value for name in NEW_FILES)


def test_without_intervals_nothing_is_shown_as_a_win(old_snapshot: Published, open_page: OpenPage) -> None:
    app = open_page("models")
    page = text(app)
    assert (
        "4 of 9 series are served by a model. Not yet computed: whether it could be luck. Run candleworks significance"
        in " ".join(page.split())
    )
    assert "this snapshot lacks its interval and p-value" in page
    assert "lightgbm serves here: skill" in " ".join(page.split()) and "lightgbm beats" not in page


def test_without_a_history_the_present_champions_are_shown(old_snapshot: Published, open_page: OpenPage) -> None:
    shown = table(open_page("champions"), "selection")
    assert len(shown) == old_snapshot.cell("select count(*) from champions where not is_baseline") == 4
    assert set(shown.state) == {"serves"}
