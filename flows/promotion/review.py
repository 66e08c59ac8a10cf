"""Review: does the champion of a series still have its edge on the newest dataset (see `ml.promotion.review`)?"""

from __future__ import annotations

from collections.abc import Mapping

from flows.workspace.workspace import Workspace
from ml.data.datasets import read_dataset
from ml.errors import CaseError, PredictionError
from ml.promotion.champion_case import is_loadable
from ml.promotion.review import LiveRecord, review_champion
from ml.promotion.rules import PromotionContext
from ml.promotion.verdicts import current_champion, read_verdicts, stamp_ms, verdicts_of
from ml.records import VerdictRecord
from ml.series import Series

_LIVE = """
    select s.error_pct, s.baseline_error_pct
    from raw.forecasts as f
    inner join raw.latest_scores as s on s.forecast_hash = f.hash
    where f.exchange = ? and f.symbol = ? and f.timeframe = ? and not f.late and list_contains(?, f.model_id)
    order by f.target_open_time
"""


def live_records(workspace: Workspace, champions: Mapping[Series, VerdictRecord]) -> dict[Series, LiveRecord]:
    """Live errors of each champion, of all models that served for it, among the loaded scores."""
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        found = {}
        for series, champion in champions.items():
            key = [series.exchange, series.symbol, series.timeframe]
            rows = connection.execute(_LIVE, [*key, champion["model_ids"]]).fetchall()
            found[series] = LiveRecord([row[0] for row in rows], [row[1] for row in rows])
    return found


def review_series(
    workspace: Workspace, series: Series, dataset_id: str, n_trials: int, now_ms: int, live: LiveRecord
) -> VerdictRecord | None:
    """Review the champion of one series and seal whether it is confirmed or retired.

    Args:
        workspace: store and settings.
        series: whose champion.
        dataset_id: its newest dataset.
        n_trials: cases tried on the series so far.
        now_ms: the exchange's time.
        live: live errors of the champion.

    Returns:
        The verdict; None if there is no champion, or it was evaluated or reviewed on this dataset before and its model
        can be loaded, or its case cannot be evaluated on it, which decides nothing.
    """
    store = workspace.store
    verdicts = verdicts_of(series, read_verdicts(store))
    champion = current_champion(verdicts)
    if champion is None:
        return None
    known = [(verdict["case_key"], verdict["dataset_id"]) for verdict in verdicts]
    if (champion["case_key"], dataset_id) in known and is_loadable(store, champion):
        return None
    context = PromotionContext(now_ms=stamp_ms(now_ms, verdicts), n_trials=n_trials)
    settings = workspace.settings.promotion
    try:
        body = review_champion(store, read_dataset(store, dataset_id), champion, live, settings, context)
    except (CaseError, PredictionError):
        return None
    body["holdout_openings"] = sum(earlier["holdout_opened"] for earlier in verdicts)
    sealed: VerdictRecord = workspace.chain("verdicts").append(body)["body"]
    return sealed
