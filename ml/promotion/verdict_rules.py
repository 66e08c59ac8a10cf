"""Rules for the chain of verdicts, given the earlier ones: what a verdict says must be possible.

They complete the signatures: records from before signatures have no other protection against a forger who seals the
chain again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import cast

from ml.data.datasets import read_manifest
from ml.errors import DamagedError, DatasetError, StoreError
from ml.execution.former_keys import former_keys, under_todays_keys
from ml.forecasting.model_folder import ModelFolder, ModelSeal
from ml.records import SealedRecord, VerdictRecord
from ml.series import Series
from ml.store import Store

_DECISIONS = ("promoted", "refused", "confirmed", "retired")


class VerdictRules:
    """Rules for a verdict, given the earlier ones of its series.

    A series' times never run backwards. A champion is promoted on an opened holdout that ended before the decision,
    and its model is of the case, series and dataset that the verdict names. Only a champion is confirmed or retired,
    and only one is replaced. Openings of the holdout are counted, and a refused case has no model that serves.

    A model or dataset that was deleted from the store since is not checked.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys: Mapping[str, str] = former_keys(store)
        self._last_decided: dict[Series, datetime] = {}
        self._champions: dict[Series, set[str]] = {}
        self._openings: dict[Series, int] = {}

    def __call__(self, record: SealedRecord) -> str:
        """Check one record and remember it; "" if it is possible."""
        verdict = cast(VerdictRecord, under_todays_keys(record["body"], self._keys))
        series = Series(exchange=verdict["exchange"], symbol=verdict["symbol"], timeframe=verdict["timeframe"])
        decided, last = datetime.fromisoformat(verdict["decided_at"]), self._last_decided.get(series)
        self._last_decided[series] = decided
        if verdict["decision"] not in _DECISIONS:
            return f"{verdict['decision']!r} is no decision"
        if last is not None and decided < last:
            return "it was decided before the previous verdict of its series"
        promotes = verdict["decision"] == "promoted"
        problem = self._of_holdout(verdict, series, decided) or self._of_champion(verdict, series)
        if promotes:
            self._champions.setdefault(series, set()).add(verdict["case_key"])
            problem = problem or self._of_model(verdict, series)
        return problem

    def _of_holdout(self, verdict: VerdictRecord, series: Series, decided: datetime) -> str:
        opened = verdict["holdout_opened"]
        self._openings[series] = self._openings.get(series, 0) + int(opened)
        if verdict["decision"] == "promoted" and not opened:
            return "it promotes a case without an opened holdout"
        openings = verdict.get("holdout_openings")
        if openings is not None and not int(opened) <= openings <= self._openings[series]:
            return f"it counts {openings} openings of the holdout, and the chain has {self._openings[series]}"
        if opened and verdict.get("holdout_end"):  # older records of openings lack their span
            start, end = (datetime.fromisoformat(verdict[name]) for name in ("holdout_start", "holdout_end"))
            if not start <= end <= decided:
                return "its holdout did not end before the decision"
        return ""

    def _of_champion(self, verdict: VerdictRecord, series: Series) -> str:
        known = self._champions.get(series, set())
        if verdict["decision"] in ("confirmed", "retired") and verdict["case_key"] not in known:
            return f"it reviews the case {verdict['case_key']}, which was never promoted"
        incumbent = verdict.get("incumbent_case_key")
        if incumbent is not None and incumbent not in known:
            return f"its incumbent {incumbent} was never promoted"
        if verdict["decision"] == "refused" and verdict.get("model_id"):
            return "it refuses a case, and names a model that serves"
        return ""

    def _of_model(self, verdict: VerdictRecord, series: Series) -> str:
        """Whether the model that serves is of the case, the series and the dataset of its promotion."""
        if not verdict["model_id"]:
            return "it promotes a case without a model"
        try:
            if Series.model_validate(read_manifest(self._store, verdict["dataset_id"])["series"]) != series:
                return "its dataset is of another series"
        except DatasetError:
            pass  # old datasets may be deleted
        try:
            # The seal is not looked up in the chain: this record is a part of it, and under test here.
            seal = ModelSeal(case_key=verdict["case_key"])
            case = ModelFolder.open(self._store, verdict["model_id"], seal).case
        except DamagedError:
            return f"its model {verdict['model_id']} is of another case, or its card is damaged"
        except StoreError:
            return ""  # so may models of former champions; one that serves is checked when it is loaded
        return "" if case.series == series else f"its model {verdict['model_id']} is of another case"
