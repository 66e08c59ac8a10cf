"""Trained agents: a planted edge is found, luck is not promoted, equal seeds give equal agents, nothing looks ahead."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from ml.agent.settings import PRESETS, AgentSettings
from ml.canaries.markets import Trial, canary_market
from ml.data.datasets import Dataset
from ml.errors import CaseError

pytestmark = [
    pytest.mark.usefixtures("keras_on_cpu"),
    # Keras hands out variables by numpy.array, for which they lack the keyword of NumPy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]
#: The default preset, smaller: few updates, no patience needed.
SMALL = replace(PRESETS["default"], window=4, units=16, streams=32, steps=64, iterations=12, learning_rate=0.001)
#: 4 hours each. The edge gains .4 % a candle, four times the fee.
EDGE, LUCK = Trial(3000, 1, edge=0.4), Trial(3000, 7)


def reported(dataset: Dataset, settings: AgentSettings, seeds: int) -> dict[str, object]:
    from ml.agent.fit import fit_seed  # noqa: PLC0415
    from ml.agent.report import report  # noqa: PLC0415
    from ml.agent.training import Limits  # noqa: PLC0415

    ticks = count()
    fitted = [fit_seed(dataset, settings, seed, Limits(np.inf, lambda: next(ticks))) for seed in range(seeds)]
    return dict(report(dataset, ("test", settings), fitted, openings=1, code_version="test"))


def test_a_planted_edge_larger_than_the_fees_is_found_by_every_seed() -> None:
    record = reported(canary_market(EDGE), SMALL, 2)
    assert record["is_promoted"], record
    for seed in record["seeds"]:  # type: ignore[attr-defined]
        assert min(seed["ratios"]["test"], seed["ratios"]["validate"]) > 1.5, seed
        assert seed["trades"] > 50
    assert record["over_nothing_lower_pct"] > 0  # type: ignore[operator]
    assert record["over_holding_lower_pct"] > 0  # type: ignore[operator]


def test_luck_is_not_promoted_and_a_look_ahead_would_be() -> None:
    walk = canary_market(LUCK)
    record = reported(walk, SMALL, 2)
    assert not record["is_promoted"]
    assert "not shown to gain more than" in str(record["reason"])
    # The edge is not worth trading at twenty times the fee.
    dear = reported(canary_market(EDGE), replace(SMALL, fee=0.02), 1)
    assert not dear["is_promoted"]
    # On the same walk, features of the next candle.
    ahead = replace(walk, features=np.roll(walk.features, -1, axis=0))
    assert reported(ahead, SMALL, 1)["is_promoted"]


def test_equal_seeds_give_equal_agents_that_see_nothing_later() -> None:
    from ml.agent.parts import parts_of  # noqa: PLC0415
    from ml.agent.training import Limits, train  # noqa: PLC0415

    dataset, short = canary_market(EDGE), replace(SMALL, iterations=3)
    parts = parts_of(dataset, short)

    def trained(seed: int) -> object:
        return train(parts, short, seed, Limits(np.inf, lambda: 0.0))

    one, again, other = (trained(seed).targets(parts, parts.validate) for seed in (3, 3, 4))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(one, again)
    assert (np.nan_to_num(one) != np.nan_to_num(other)).any()
    agent = trained(3)
    start, stop = parts.validate
    for cut in range(start + 5, stop, 37):
        part = agent.targets(parts, (start, cut))  # type: ignore[attr-defined]
        np.testing.assert_array_equal(part[: cut - start - 1], one[: cut - start - 1])
    # Other candles and features after the train part change neither its scaler nor its agent's orders on it.
    later = np.array(dataset.features)
    later[parts.test[0] :] *= 3
    changed = parts_of(replace(dataset, features=later), short)
    np.testing.assert_array_equal(changed.table[: parts.train[1]], parts.table[: parts.train[1]])
    np.testing.assert_array_equal(
        agent.targets(changed, parts.train),  # type: ignore[attr-defined]
        agent.targets(parts, parts.train),  # type: ignore[attr-defined]
    )


def test_the_gain_that_chooses_is_the_one_of_the_ledger_and_time_ends_a_training() -> None:
    from ml.agent.fit import trade  # noqa: PLC0415
    from ml.agent.parts import parts_of  # noqa: PLC0415
    from ml.agent.training import Limits, train  # noqa: PLC0415
    from ml.trading.ledger import CASH  # noqa: PLC0415

    parts = parts_of(canary_market(EDGE), SMALL)
    ticks = count()
    agent = train(parts, SMALL, 0, Limits(2.5, lambda: next(ticks)))
    assert (agent.played, agent.stopped) == (3, "time")
    assert np.log(trade(agent, parts, parts.test).equity[-1] / CASH) == pytest.approx(agent.test_gain, abs=1e-9)


def test_advantages_are_those_worked_by_hand() -> None:
    from ml.agent.environment import Episodes  # noqa: PLC0415
    from ml.agent.training import advantages_of  # noqa: PLC0415

    none = np.zeros((1, 3))
    values = np.array([[1.0, 2.0, 3.0, 4.0]])
    flags = np.zeros((1, 3), bool)
    episodes = Episodes(none.astype(np.int64), none, values, none, none, none, flags, np.array([[False, True, False]]))
    settings = replace(SMALL, discount=0.5, trace=0.8)
    # Errors: 1 + .5 x 2 - 1 = 1; the episode ends: 1 - 2 = -1; 1 + .5 x 4 - 3 = 0. The first one adds .4 x -1.
    np.testing.assert_allclose(advantages_of(episodes, np.ones((1, 3)), settings), [[0.6, -1.0, 0.0]])


def test_too_few_candles_and_features_are_said_with_the_remedy() -> None:
    from ml.agent.parts import parts_of  # noqa: PLC0415

    with pytest.raises(CaseError, match=r"has \d+ usable rows on \d+ days; .* Ingest more candles"):
        parts_of(canary_market(Trial(600, 1)), SMALL)
    parts_of(canary_market(Trial(1200, 1)), SMALL)
    with pytest.raises(CaseError, match="has no column of the groups astrology"):
        parts_of(canary_market(EDGE), replace(SMALL, groups=("astrology",)))
