"""Contributions: how much each input column adds to a forecast, for models that can be taken apart exactly.

A forecast in log units is the base (the forecast of the mean inputs, or of the mean leaf of the trees) plus the
contributions of all columns plus the coherence: the change that makes high, low and close a valid candle. The sum is
the forecast itself.

Source: Lundberg and Lee, A unified approach to interpreting model predictions (2017); of a linear model the
contribution of an input is its weight times its standardised value, the Shapley value for independent inputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml.data.targets import CLOSE, HIGH, LOW, Floats, coherent
from ml.evaluation.forecaster import Ensemble, Member, Part, in_log_units, inputs_of_member
from ml.models.base import ExplainedModel, Inputs
from ml.records import Contributions

#: Number of columns that are listed.
LISTED = 5


def explain(ensemble: Ensemble, window: Inputs, columns: Sequence[str]) -> Contributions | None:
    """Contributions to one forecast; None if the family of any member has none.

    Args:
        ensemble: of the target next_candle; its forecast is the mean over seeds and members, so are the contributions.
            Those to a close that is forecast as the last close are 0.
        window: raw inputs (1, lags, f); the contributions of a column's candles are summed.
        columns: names of the f columns.

    Returns:
        The columns with the largest contributions to the range (high - low), the largest first, with the sum of all
        others. `value` is the raw one of the last candle.
    """
    parts = _of_ensemble(ensemble, window)
    if parts is None:
        return None
    of_columns, base, coherence = parts[:, :-2], parts[:, -2], parts[:, -1]
    largest = np.argsort(-np.abs(of_columns[HIGH] - of_columns[LOW]), kind="stable")[:LISTED]
    return {
        "inputs": [
            {"column": columns[at], "value": float(window[0, -1, at]), "labels": of_columns[:, at].tolist()}
            for at in largest
        ],
        "others": np.delete(of_columns, largest, axis=1).sum(axis=1).tolist(),
        "base": base.tolist(),
        "coherence": coherence.tolist(),
    }


def _of_ensemble(ensemble: Ensemble, window: Inputs) -> Floats | None:
    """Contributions (k, f + 2) of columns, base and coherence to the k labels; their sum is the forecast."""
    found = [_of_member(member, window) for member in ensemble.members]
    found += [_of_part(part, window) for part in ensemble.parts]
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return None
    mean: Floats = np.mean(known, axis=0)
    if ensemble.keeps_close:
        mean[CLOSE] = 0.0
    labels = mean.sum(axis=1)
    mean[:, -1] += coherent(labels[None])[0] - labels
    return mean


def _of_part(part: Part, window: Inputs) -> Floats | None:
    """The same of a member of an ensemble case, over the columns of that case."""
    found = _of_ensemble(part.ensemble, inputs_of_member(window, part.case, part.columns))
    if found is None:
        return None
    spread = np.zeros((len(found), window.shape[2] + 2))
    spread[:, [*part.columns, -2, -1]] = found
    return spread


def _of_member(member: Member, window: Inputs) -> Floats | None:
    """The same of one model, to which nothing is added for coherence."""
    if not isinstance(member.model, ExplainedModel):
        return None
    found = in_log_units(member.model.contributions(member.ready(window))[0], window, member.units)
    lags, columns = window.shape[1:]
    of_columns = found[:, :-1].reshape(len(found), lags, columns).sum(axis=1)
    return np.column_stack([of_columns, found[:, -1], np.zeros(len(found))])
