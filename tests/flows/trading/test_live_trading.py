"""Rules, signals and paper trades over a real warehouse: chosen once, sealed once per candle, through every change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.ingestion.ingest import ingest_market
from flows.replay import RecordedCandles, ReplayClock, ReplayServer
from flows.simulation.trading_checks import check_trading
from flows.trading.live import trade_all
from flows.trading.rule_job import select_on
from flows.trading.rules import due_rules, holdout_spans, keep_rule
from flows.trading.signals import active_signals, newest_rules
from flows.warehouse.export import export_all, require_datasets
from flows.warehouse.marts import transform
from flows.workspace.workspace import Workspace
from ml.data.datasets import read_dataset
from ml.evaluation.preparation import bind
from ml.execution.chunks import run_case
from ml.execution.results import result_path, write_results
from ml.forecasting.chain import Chain
from ml.forecasting.model_store import load_model
from ml.forecasting.seals import verify_chains
from ml.search.cases import EVALUATION, TestCase
from ml.timeframes import DAY_MS
from ml.trading.scores import scores_of
from tests.flows.conftest import ROWS, hours, installation_at

pytestmark = [
    pytest.mark.warehouse,
    pytest.mark.usefixtures("small_dbt", "loaded_small_dbt"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # raised inside Great Expectations
]
FIRST = ROWS - 40
SIGNALS = """
[[signal]]
name = "swift"
sources = [{}]
grid = { quantiles = [0.5, 0.6, 0.7] }

[[signal]]
name = "calm"
sources = [{}]
smooth = "mean"
span = 3
long_only = true
stops = 3.0
sizing = { kind = "volatility", target_volatility = 0.3, span = 24 }
grid = { quantiles = [0.5, 0.6, 0.7] }
"""


SPACE = """
[[space]]
name = "returns"
model = "ridge"
groups = { returns = "on", candle_shape = "on" }
"""


@dataclass(frozen=True)
class Live:
    """A recorded exchange and a workspace that follows it."""

    server: ReplayServer
    workspace: Workspace

    def follow(self, hour: int) -> None:
        """One minute into an hour: candles and features up to it."""
        now_ms = hours(hour) + 60_000
        self.server.clock.set(now_ms)
        ingest_market(self.workspace, "BTC/USDT", now_ms)
        transform(self.workspace, "candles")

    def choose(self, workspace: Workspace | None = None, now_ms: int = hours(FIRST)) -> list[str]:
        """Choose the rules that are due; returns their signals, with the problems of those without one."""
        place = workspace or self.workspace
        manifests, made = require_datasets(place), []
        for series, tasks in due_rules(place, manifests, now_ms).items():
            spans = holdout_spans(place.store).get(series, [])
            for selected in select_on(place.place, manifests[series]["id"], tasks, spans, now_ms):
                name = selected.trader.signal.name
                made.append(f"{name}: {selected.problem}" if selected.problem else name)
                if not selected.problem:
                    keep_rule(place, series, selected)
        return made

    def trading(self, **changes: object) -> Workspace:
        """The same home with other settings of trading."""
        settings = self.workspace.settings
        trading = settings.trading.model_copy(update=changes)
        return replace(self.workspace, settings=settings.model_copy(update={"trading": trading}))

    def query(self, sql: str) -> pd.DataFrame:
        with self.workspace.warehouse.connect() as connection:
            return connection.execute(sql).df()


@pytest.fixture(scope="module")
def live(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """All but 40 candles loaded, with the result of one case; the tests live through the hours in their order."""
    with ReplayServer(RecordedCandles(recorded, "binance"), ReplayClock(hours(FIRST))) as server:
        home = tmp_path_factory.mktemp("trading")
        (home / "signals.toml").write_text(SIGNALS, "utf-8")
        markets = {"symbols": ["BTC/USDT"], "timeframes": ["1h"]}
        (home / "space.toml").write_text(SPACE, "utf-8")
        trading = {"signals": [str(home / "signals.toml")]}
        sweep = {"search_spaces": [str(home / "space.toml")]}
        live = Live(server, installation_at(home, server.url, markets=markets, trading=trading, sweep=sweep))
        live.follow(FIRST)
        export_all(live.workspace)
        yield live


def add_result(workspace: Workspace) -> TestCase:
    """The result of a case that learns the close."""
    ((series, manifest),) = require_datasets(workspace).items()
    dataset = read_dataset(workspace.store, manifest["id"])
    case = TestCase(series=series, features=dataset.columns, model="ridge", close="learnt", evaluation=EVALUATION)
    row = run_case(case, dataset, "here:1:1.00", "test")
    assert row["status"] == "tested", row["error"]
    write_results(workspace.store, result_path(manifest["id"], "chunk"), [row])
    return case


def test_without_a_result_there_is_no_rule_and_no_signal_and_each_says_why(live: Live) -> None:
    for line in live.choose():
        assert "no result of next_candle that learns the close: run `candleworks sweep`" in line
    assert trade_all(live.workspace) == (0, 0)
    assert not newest_rules(live.workspace.store)


def test_rules_are_chosen_once(live: Live) -> None:
    case = add_result(live.workspace)
    assert live.choose() == ["swift", "calm"]
    assert live.choose() == []
    rules = [one["body"] for one in Chain(live.workspace.store, "rules").records()]
    assert [rule["case_keys"] for rule in rules] == [[case.key]] * 2
    assert [rule["openings"] for rule in rules] == [2, 2]  # both report on the same candles
    assert {rule["signal"]: rule["sizing"] for rule in rules} == {"swift": "all_in", "calm": "volatility"}
    figures = live.query("select signal, part, candles from raw.trading_figures order by all")
    assert figures["part"].tolist() == ["holdout", "validation"] * 2


def test_each_candle_has_one_signal_per_rule_and_orders_fill_later(live: Live) -> None:
    sealed = []
    for hour in range(FIRST, FIRST + 6):
        if hour != FIRST:
            live.follow(hour)
        if hour == FIRST + 2:
            continue  # an hour without a run
        sealed.append(trade_all(live.workspace).signals)
        assert trade_all(live.workspace) == (0, 0), "the same hour again"
    assert sealed == [2] * 5
    rows = live.query("select * from raw.signals order by sequence")
    assert rows["score"].notna().all() and (rows["reason"] == "").all()
    assert (rows["issued_at"] == rows["close_time"] + pd.Timedelta(minutes=1)).all()
    fills = live.query("select * from raw.fills")
    assert len(fills), "a rule of this market should have traded"
    first = fills.merge(rows, left_on="signal_hash", right_on="hash", suffixes=("", "_signal"))
    assert (first["time"] > first["issued_at"]).all()
    opens = live.query("select open_time, open from raw.candles").drop_duplicates("open_time").set_index("open_time")
    ordered = fills[fills["reason"] == "signal"]
    np.testing.assert_allclose(ordered["price"], opens.loc[ordered["time"], "open"])


def test_a_live_score_is_that_of_the_history_with_the_same_model(live: Live) -> None:
    """Features of the newest candle, scaled by the newest ranges, give what the dataset gives."""
    export_all(live.workspace)
    ((_, manifest),) = require_datasets(live.workspace).items()
    dataset = read_dataset(live.workspace.store, manifest["id"])
    for trader in next(iter(active_signals(live.workspace.settings).values())):
        rule = next(
            one.record for key, one in newest_rules(live.workspace.store).items() if key[3] == trader.signal.name
        )
        case, ensemble, _ = load_model(live.workspace.store, rule["model_ids"][0])
        prepared = bind(case, dataset)
        rows = np.arange(len(dataset) - 30, len(dataset))
        predicted = ensemble.predict(prepared.windows_at(rows))
        scores = scores_of(trader.signal, [predicted], [prepared.scale[rows]], rule["units"]).score
        stored = live.query(f"select * from raw.signals where signal = '{trader.signal.name}' order by sequence")
        places = [
            int(np.flatnonzero(dataset.open_time_ms[rows] == one.value // 10**6)[0]) for one in stored["open_time"]
        ]
        np.testing.assert_allclose(stored["score"], scores[places], rtol=1e-4, atol=1e-7)


def test_the_checks_of_a_rehearsal_hold_and_the_chains_verify(live: Live) -> None:
    for check in check_trading(live.workspace):
        assert check.holds, check
    assert not any(report.problem for report in verify_chains(live.workspace.store))


def test_other_costs_are_another_account_and_the_former_one_is_kept(live: Live) -> None:
    add_result(live.workspace)  # on the newest dataset
    dear = live.trading(fee=0.01)
    before = live.query("select count(*) as n from raw.transactions")["n"][0]
    assert trade_all(dear).signals == 0, "the rule was chosen at other costs"
    assert live.choose(dear) == ["swift", "calm"]
    rules = [one["body"] for one in Chain(dear.store, "rules").records()]
    assert rules[-1]["openings"] == 4 and rules[-1]["level"] == pytest.approx(0.05 / 4)
    live.follow(FIRST + 6)
    assert trade_all(dear).signals == 2
    assert not len(live.query("select * from raw.trading_figures where part = 'paper'")), "those of the other account"
    # ... and back again: the former account goes on where it was.
    assert live.choose() == ["swift", "calm"]
    live.follow(FIRST + 7)
    assert trade_all(live.workspace).signals == 2
    paper = live.query("select * from raw.trading_figures where part = 'paper'")
    assert paper["candles"].tolist() == [8, 8]
    assert live.query("select count(*) as n from raw.transactions")["n"][0] >= before
    for check in check_trading(live.workspace):
        assert check.holds, check


def test_a_signal_that_was_removed_is_neither_traded_nor_shown(live: Live) -> None:
    path = live.workspace.home / "signals.toml"
    path.write_text(SIGNALS.partition('\n[[signal]]\nname = "calm"')[0], "utf-8")
    live.follow(FIRST + 8)
    assert trade_all(live.workspace).signals == 1
    assert live.query("select signal from raw.active_signals")["signal"].tolist() == ["swift"]
    assert trade_all(live.trading(enabled=False)) == (0, 0)
    assert not len(live.query("select * from raw.active_signals"))
    path.write_text(SIGNALS, "utf-8")
    live.follow(FIRST + 9)
    assert trade_all(live.workspace).signals == 2
    assert live.query("select signal from raw.active_signals")["signal"].tolist() == ["swift", "calm"]


def test_rows_that_were_lost_are_computed_again_without_another_report(live: Live) -> None:
    before = live.query("select * from raw.trading_figures where part <> 'paper' order by all")
    trades = live.query("select count(*) as n from raw.trading_trades where part = 'holdout'")["n"][0]
    live.query("delete from raw.trading_figures")
    rules = Chain(live.workspace.store, "rules").head()
    assert live.choose() == ["swift", "calm"]
    pd.testing.assert_frame_equal(
        live.query("select * from raw.trading_figures where part <> 'paper' order by all"), before
    )
    assert live.query("select count(*) as n from raw.trading_trades where part = 'holdout'")["n"][0] == trades
    assert Chain(live.workspace.store, "rules").head() == rules
    assert live.choose() == []


def test_a_rule_serves_for_its_time(live: Live) -> None:
    late = hours(FIRST) + 91 * DAY_MS
    assert live.choose(now_ms=late) == ["swift", "calm"]
    assert live.choose(now_ms=late) == []


def test_a_model_that_is_gone_is_a_reason_then_a_new_rule(live: Live) -> None:
    for rule in newest_rules(live.workspace.store).values():
        for path in live.workspace.store.list(f"models/{rule.record['model_ids'][0]}"):
            (Path(live.workspace.store_url) / path).unlink()
    live.follow(FIRST + 10)
    assert trade_all(live.workspace).signals == 2
    last = live.query("select * from raw.signals order by sequence desc limit 2")
    assert last["score"].isna().all() and last["side"].isna().all()
    assert last["reason"].str.contains("cannot be loaded").all()
    assert live.choose(now_ms=hours(FIRST) + 91 * DAY_MS) == ["swift", "calm"]
    live.follow(FIRST + 11)
    assert trade_all(live.workspace).signals == 2
    assert live.query("select * from raw.signals order by sequence desc limit 2")["score"].notna().all()


def test_a_forged_signal_is_the_first_bad_record(live: Live) -> None:
    folder = Path(live.workspace.store_url) / "signals"
    path = sorted(folder.glob("*.json"))[3]
    original = path.read_bytes()
    record = json.loads(original)
    record["body"]["side"] = 1.0
    path.write_bytes(json.dumps(record).encode())
    problems = {report.chain: report.problem for report in verify_chains(live.workspace.store)}
    path.write_bytes(original)
    assert "0000000004.json is the first bad record" in problems["signals"]
    assert not problems["rules"] and not problems["transactions"]
