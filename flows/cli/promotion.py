"""The promotion gate: verdicts, saved models with their cards, and the review of champions."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from flows.cli.application import DEFAULT_HOME, AsJson, Config, Home, application, workspace
from flows.cli.tables import Symbol, Timeframe, chosen, warn, with_key
from flows.terminal.output import print_records, terminal
from ml.errors import StoreError

_console = terminal()
_VERDICT_COLUMNS = ("decided_at", "key", "symbol", "timeframe", "model", "decision", "rule", "reason")
_MODEL_COLUMNS = ("model_id", "symbol", "timeframe", "model", "kind", "trained_through", "n_trials", "skill")


@application.command()
def verdicts(
    symbol: Symbol = None,
    timeframe: Timeframe = None,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Why every champion was promoted, refused, confirmed or retired, oldest first."""
    from ml.promotion.verdicts import read_verdicts  # noqa: PLC0415

    records = chosen(read_verdicts(workspace(home, config).store), symbol, timeframe)
    if as_json:
        print_records(records, as_json, title="Verdicts")
        return
    # The oldest records have no rule.
    shown = [{"rule": None, **with_key(row), "decided_at": row["decided_at"][:16].replace("T", " ")} for row in records]
    print_records(shown, as_json, title="Verdicts", columns=_VERDICT_COLUMNS)


@application.command()
def models(
    identity: Annotated[str | None, typer.Argument(metavar="[ID]", help="Print the card of this model.")] = None,
    symbol: Symbol = None,
    timeframe: Timeframe = None,
    home: Home = DEFAULT_HOME,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List the saved models, or print the card of one: its purpose, selection and measured skill."""
    from ml.forecasting.model_folder import ModelSeal, model_seals  # noqa: PLC0415
    from ml.forecasting.model_store import read_card, saved_models  # noqa: PLC0415
    from ml.promotion.model_card import card_entries, card_summary  # noqa: PLC0415

    store = workspace(home, config).store
    if identity is None:
        records, seals = [], model_seals(store)
        for name in sorted({*saved_models(store), *seals}):
            try:
                records.append(card_summary(read_card(store, name, seals.get(name, ModelSeal()))))
            except StoreError as error:  # one that is damaged, or was sealed and is missing
                warn(str(error))
        records.sort(key=lambda row: (row["symbol"], row["timeframe"], row["trained_through"] or "", row["kind"]))
        chosen_records = chosen(records, symbol, timeframe)
        print_records(chosen_records, as_json, title="Saved models", columns=(*_MODEL_COLUMNS, "holdout_skill"))
        return
    card = read_card(store, identity)
    if as_json:
        print_records([card], as_json, title="Model card")
        return
    _console.print(_card_table(card_entries(card)))


def _card_table(entries: dict[str, str]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in entries.items():
        table.add_row(name, text)
    return table


@application.command()
def review(home: Home = DEFAULT_HOME, config: Config = None, as_json: AsJson = False) -> None:
    """Evaluate every champion walk-forward on the newest dataset: confirm and refit, or retire it. Needs `export`."""
    from flows.server.flow_runs import run_flow  # noqa: PLC0415

    opened = workspace(home, config)
    with run_flow(opened, _console, quiet=as_json) as run, opened.local_pool() as pool:
        from flows.promotion.steps import run_review  # noqa: PLC0415

        made = run("review", run_review, pool)
    columns = ("symbol", "timeframe", "model", "decision", "review_skill", "review_rows", "reason")
    print_records(made, as_json, title="Reviews", columns=columns)
