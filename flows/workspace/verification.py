"""Verification of a home's chains: hashes, signatures of its key, and the rules of each kind of record."""

from __future__ import annotations

from collections.abc import Sequence

from flows.workspace.workspace import Workspace
from ml.forecasting.seals import ChainReport, verify_chains


def verify_home(workspace: Workspace, heads: Sequence[str] = ()) -> list[ChainReport]:
    """Check all chains of a home; `heads` as in `ml.forecasting.seals.verify_chains`.

    Raises:
        ServiceError: the key of the home was lost though its records are signed.
        ConfigurationError: a head is malformed.
    """
    from ml.promotion.verdict_rules import VerdictRules  # noqa: PLC0415 - loads the models

    store = workspace.store
    return verify_chains(store, heads, workspace.trust(), VerdictRules(store))
