"""Metrics of probabilities: log loss, percent correct, and AUC, average precision, F1 of each class or event.

Probabilities, decisions and truth are (n, c): one column per class (exactly one is true) or per event.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ml.data.targets import Floats
from ml.records import LabelMetrics

Flags = npt.NDArray[np.bool_]
#: Probabilities are clipped here, which bounds the log loss; scikit-learn's limit.
SMALLEST = float(np.finfo(np.float64).eps)


def log_losses(probabilities: Floats, happened: Flags, *, exclusive: bool = False) -> Floats:
    """(n,) log loss of each row in nats: -log of the probability of the outcome.

    Args:
        probabilities: (n, c).
        happened: (n, c).
        exclusive: the columns are mutually exclusive classes; otherwise events, over which the losses are averaged.

    Source: Good, Rational Decisions (1952).

    >>> log_losses(np.array([[0.5, 0.25, 0.25]]), np.array([[True, False, False]]), exclusive=True)
    array([0.69314718])
    """
    likely = np.clip(probabilities, SMALLEST, 1 - SMALLEST)
    if exclusive:
        losses: Floats = -np.log(likely[happened])
    else:
        losses = -np.log(np.where(happened, likely, 1 - likely)).mean(axis=1)
    return losses


def percent_correct(decided: Flags, happened: Flags, *, exclusive: bool = False) -> float:
    """100 x share of correct decisions: over rows for classes (`exclusive`), over rows and events for events.

    >>> decided, happened = np.eye(3, dtype=bool)[[1, 1, 1, 1]], np.eye(3, dtype=bool)[[1, 0, 1, 2]]
    >>> percent_correct(decided, happened, exclusive=True)
    50.0
    """
    right = decided == happened
    return float(100 * np.mean(right.all(axis=1) if exclusive else right))


def label_table(names: Sequence[str], probabilities: Floats, decided: Flags, happened: Flags) -> list[LabelMetrics]:
    """One row per class or event, each against all others.

    Returns:
        With n, n_predicted, precision, recall, f1, auc and average_precision; NaN if undefined because the label
        occurs always or never.
    """
    return [_label_row(name, probabilities[:, k], decided[:, k], happened[:, k]) for k, name in enumerate(names)]


def _label_row(name: str, probabilities: Floats, decided: Flags, happened: Flags) -> LabelMetrics:
    # scikit-learn is slow to import, and other kinds of targets may not need it.
    from sklearn.metrics import (  # noqa: PLC0415
        average_precision_score,
        precision_recall_fscore_support,
        roc_auc_score,
    )

    precision, recall, f1, _ = precision_recall_fscore_support(happened, decided, average="binary", zero_division=0)
    both = happened.any() and not happened.all()
    return {
        "label": name,
        "n": int(happened.sum()),
        "n_predicted": int(decided.sum()),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "auc": float(roc_auc_score(happened, probabilities)) if both else float("nan"),
        "average_precision": float(average_precision_score(happened, probabilities)) if both else float("nan"),
    }
