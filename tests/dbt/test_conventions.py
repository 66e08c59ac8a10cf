"""The conventions of the dbt project (dbt/dbt-bouncer.yml): kept, and a breach of each is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from built import Built
from conventions import breaches

MODEL = "model.candleworks."


@pytest.fixture(scope="module")
def manifest(make_built: Callable[[str], Built], loaded_dbt: None) -> Path:
    """What dbt reads in the project."""
    built = make_built("conventions")
    with built.warehouse.connect():
        pass  # creates the raw tables
    built.run(["run", "--select", "stg_exchange__loads"])  # any command that writes what dbt knows
    return built.target_path / "manifest.json"


def broken(manifest: dict[str, Any]) -> None:
    """A breach of each kind, in place."""
    models = {name.removeprefix(MODEL): node for name, node in manifest["nodes"].items() if name.startswith(MODEL)}
    untested = {f"{MODEL}fct_weights", "source.candleworks.raw.weights", f"{MODEL}int_features__rsi"}
    manifest["nodes"] = {
        name: node
        for name, node in manifest["nodes"].items()
        if node["resource_type"] != "test" or not untested & set(node["depends_on"]["nodes"])
    }
    models["dim_markets"]["description"] = ""
    models["fct_scores"]["columns"]["late"]["description"] = ""
    models["fct_results"]["columns"]["skill"]["data_type"] = None
    models["fct_verdicts"]["contract"]["enforced"] = False
    models["stg_store__scores"]["name"] = "scores"
    models["int_candles__news"]["name"] = "candle_news"
    models["fct_champions"]["name"] = "champions"
    models["fct_forecasts"]["schema"] = "main"
    models["fct_quarantine"]["patch_path"] = None
    models["int_verdicts__champions"]["depends_on"]["nodes"].append("source.candleworks.raw.verdicts")
    models["fct_candles"]["depends_on"]["nodes"].append(f"{MODEL}fct_results")
    models["fct_error_history"]["raw_code"] = "select * from marts.fct_results"
    manifest["sources"]["source.candleworks.raw.loads"]["description"] = ""
    del manifest["exposures"]["exposure.candleworks.datasets"]["owner"]["email"]
    manifest["exposures"]["exposure.candleworks.snapshot"]["description"] = ""


NAMED = {
    ("check_model_description_populated", "dim_markets"),
    ("check_model_column_description_populated", "fct_scores"),
    ("check_model_columns_have_types", "fct_results"),
    ("check_model_has_contracts_enforced", "fct_verdicts"),
    ("check_model_names", "stg_store__scores"),
    ("check_model_names", "int_candles__news"),
    ("check_model_names", "fct_champions"),
    ("check_model_schema_name", "fct_forecasts"),
    ("check_model_has_properties_file", "fct_quarantine"),
    ("check_model_documented_in_same_directory", "fct_quarantine"),
    ("check_model_has_unique_test", "fct_weights"),
    ("check_model_has_unique_test", "int_features__rsi"),
    ("check_lineage_source_cannot_be_used", "int_verdicts__champions"),
    ("check_lineage_permitted_upstream_models", "fct_candles"),
    ("check_model_hard_coded_references", "fct_error_history"),
    ("check_source_has_tests", "raw_weights"),
    ("check_source_description_populated", "raw_loads"),
    ("check_exposure_has_owner", "datasets"),
    ("check_exposure_description_populated", "snapshot"),
}


def test_the_project_keeps_its_conventions(manifest: Path, tmp_path: Path) -> None:
    assert breaches(manifest, tmp_path) == set()


def test_a_breach_of_each_convention_is_named(manifest: Path, tmp_path: Path) -> None:
    changed = json.loads(manifest.read_text("utf-8"))
    broken(changed)
    (tmp_path / "manifest.json").write_text(json.dumps(changed), "utf-8")
    assert breaches(tmp_path / "manifest.json", tmp_path) == NAMED
