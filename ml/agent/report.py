"""The report of agents: net-worth ratios by the ledger, and whether their mean gains beyond luck on validate.

Train is the part that they learnt from, test chose when each of them stopped, validate chose nothing. Each part begins
with the same cash and no position; holding pays the same costs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml.agent.parts import Parts, Range, parts_of
from ml.agent.records import AgentRecord, Fitted, Ratios
from ml.agent.settings import AgentSettings
from ml.data.datasets import Dataset
from ml.data.targets import Floats
from ml.timeframes import utc_text
from ml.trading.daily import daily_log_gains
from ml.trading.ledger import CASH, Ledger
from ml.trading.luck import SHOWN_LEVEL, gain_quantiles, unproved
from ml.trading.performance import buy_and_hold


def report(
    dataset: Dataset, preset: tuple[str, AgentSettings], fitted: Sequence[Fitted], openings: int, code_version: str
) -> AgentRecord:
    """The record of the agents of a preset.

    Args:
        dataset: that they were trained on.
        preset: name and settings.
        fitted: one per seed.
        openings: reports on overlapping validate candles of the series, with this one.
        code_version: of the program.
    """
    name_of_preset, settings = preset
    parts = parts_of(dataset, settings)
    holding = {name: _hold(parts, settings, getattr(parts, name)) for name in Ratios.__annotations__}
    times = parts.market.between(*parts.validate).open_time_ms
    own = np.mean([one.gains for one in fitted], axis=0)
    held = daily_log_gains(holding["validate"].equity, CASH, times)
    level = SHOWN_LEVEL / openings
    traded = any(one.record["trades"] for one in fitted)
    reason = unproved(own, held, level) if traded else "no trade on the validate part"
    nothing, over = _spread(own), _spread(own - held)
    return {
        **dataset.series.key,
        "preset": name_of_preset,
        "dataset_id": dataset.id,
        "code_version": code_version,
        "fee": settings.fee,
        "slippage": settings.slippage,
        "start_time": utc_text(int(times[0])),
        "end_time": utc_text(int(times[-1])),
        "seeds": [one.record for one in fitted],
        "mean": _mean([one.record["ratios"] for one in fitted]),
        "holding": ratios_of(holding),
        "over_nothing_pct": nothing[0],
        "over_nothing_lower_pct": nothing[1],
        "over_nothing_upper_pct": nothing[2],
        "over_holding_pct": over[0],
        "over_holding_lower_pct": over[1],
        "over_holding_upper_pct": over[2],
        "openings": openings,
        "level": level,
        "is_promoted": not reason,
        "reason": reason or "gains, and gains more than holding, on candles that chose nothing",
    }


def _hold(parts: Parts, settings: AgentSettings, part: Range) -> Ledger:
    market = parts.market.between(*part)
    return buy_and_hold(market.candles, market.open_time_ms, CASH, settings.costs)


def ratios_of(ledgers: dict[str, Ledger]) -> Ratios:
    """The ratio of the ledger of each part."""
    train, test, validate = (float(ledgers[name].equity[-1] / CASH) for name in Ratios.__annotations__)
    return {"train": train, "test": test, "validate": validate}


def _mean(ratios: Sequence[Ratios]) -> Ratios:
    logarithms = np.log(np.maximum([[one["train"], one["test"], one["validate"]] for one in ratios], 1e-9))
    train, test, validate = (float(one) for one in np.exp(logarithms.mean(axis=0)))
    return {"train": train, "test": test, "validate": validate}


def _spread(gains: Floats) -> tuple[float, float | None, float | None]:
    """The sum of daily logarithmic gains and the ends of its 90 % interval, in percent."""
    ends = gain_quantiles(gains, [0.05, 0.95])
    lower, upper = (None, None) if ends is None else (100 * float(np.expm1(end)) for end in ends)
    return 100 * float(np.expm1(gains.sum())), lower, upper
