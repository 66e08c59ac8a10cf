"""Data docs: Great Expectations' own pages about checked batches, written to a folder that any browser opens offline.

The pages of Great Expectations load styles, scripts and a logo from hosts on the internet. A page about private data
must not contact any host: those tags are removed, and as its index is drawn by such a script, a plain list of the
batches is inserted at the top.
"""

from __future__ import annotations

import html
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from expectations.report import GateReport
from expectations.rules import RULES
from expectations.suite import build_expectations, load_great_expectations, quiet_context, raise_if_broken
from ml.errors import CandleDataError

_REMOTE = re.compile(
    r"<script\b.*?</script>"  # without their libraries the inline scripts only raise errors
    r"|<link\b[^>]*\bhref=[\"'](?:https?:)?//[^>]*>"
    r"|<img\b[^>]*\bsrc=[\"'](?:https?:)?//[^>]*>"
    r"|<a\b[^>]*\bhref=[\"'](?:https?:)?//[^>]*>"
    r"|url\([\"']?https?://[^)]*\)",
    re.DOTALL,
)
_STYLE = (
    "<style>body{font-family:sans-serif;margin:2rem}table{border-collapse:collapse}"
    "td,th{padding:.3rem .8rem;border:1px solid #ccc;text-align:left}svg{max-width:1rem}</style>"
)


def build_data_docs(reports: Sequence[GateReport], folder: Path) -> Path:
    """Write the data docs of checked batches.

    Args:
        reports: Reports of `gate.check_batch`; empty batches are left out.
        folder: Output folder; it may exist, pages of an earlier call are replaced.

    Returns:
        Path of the index page.

    Raises:
        CandleDataError: no report holds a candle.
    """
    shown = [report for report in reports if len(report.measures)]
    if not shown:
        raise CandleDataError("No checked batch holds a candle, so there is nothing to document. Run the gate first.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="data-docs-") as project:
        context = quiet_context(mode="file", project_root_dir=project)
        _only_site(context, folder)
        _validate_again(context, shown)
        context.build_data_docs(site_names=["candles"])
    for page in folder.rglob("*.html"):
        page.write_text(_local(page.read_text(encoding="utf-8")), encoding="utf-8")
    index = folder / "index.html"
    text = index.read_text(encoding="utf-8")
    index.write_text(text.replace("<body>", f"<body>\n{_list(shown, folder)}", 1), encoding="utf-8")
    return index


def _only_site(context: Any, folder: Path) -> None:
    for name in list(context.variables.data_docs_sites):
        context.delete_data_docs_site(name)
    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())},
    }
    context.add_data_docs_site("candles", site)


def _title(report: GateReport) -> str:
    market = report.market
    return f"{market.exchange} {market.symbol.replace('/', '-')} {market.timeframe}"


def _run_name(place: int) -> str:
    return f"batch-{place:03d}"


def _validate_again(context: Any, reports: Sequence[GateReport]) -> None:
    """Validate the measure frames with counts and examples, which the gate itself does not need."""
    gx = load_great_expectations()
    suite = gx.ExpectationSuite(name="candles", expectations=[e for rule in RULES for e in build_expectations(rule)])
    suite = context.suites.add(suite)
    source = context.data_sources.add_pandas("gate")
    for place, report in enumerate(reports):
        asset = source.add_dataframe_asset(f"{_title(report)} {place:03d}")
        batch = asset.add_batch_definition_whole_dataframe("whole")
        definition = gx.ValidationDefinition(name=_run_name(place), data=batch, suite=suite)
        result = context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": report.measures},
            result_format="SUMMARY",
            run_id=gx.RunIdentifier(run_name=_run_name(place)),
        )
        raise_if_broken(result.results)


def _local(page: str) -> str:
    return _REMOTE.sub("", page).replace("</head>", f"{_STYLE}</head>", 1)


def _list(reports: Sequence[GateReport], folder: Path) -> str:
    rows = []
    for place, report in enumerate(reports):
        found = sorted(folder.glob(f"validations/candles/{_run_name(place)}/*/*.html"))
        link = found[-1].relative_to(folder).as_posix()
        verdict = f"stopped: {report.reason}" if report.stopped else "kept"
        cells = [
            f'<a href="{html.escape(link)}">{html.escape(_title(report))}</a>',
            f"{len(report.measures):,}",
            f"{len(report.quarantined):,}",
            html.escape(", ".join(report.failed_rules)) or "none",
            f"{len(report.rules_in('passed'))} of {len(report.checks)}",
            html.escape(", ".join(report.rules_in("not applicable"))) or "none",
            html.escape(verdict),
        ]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    names = ("batch", "candles", "in quarantine", "broken rules", "passed", "not applicable", "verdict")
    head = "".join(f"<th>{name}</th>" for name in names)
    return f"<h1>Checked batches of candles</h1>\n<table><tr>{head}</tr>\n" + "\n".join(rows) + "</table>"
