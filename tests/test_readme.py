"""The READMEs are followed: their commands exist, their recipes work, their worker works."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from flows.cli.application import application
from flows.messages import SAMPLES, render
from flows.processes.children import child_environment, start_child, stop_child
from flows.processes.ports import free_port
from flows.server.process_records import record_of, write_records
from flows.server.up import SERVER_NAME
from flows.settings import load_settings
from flows.warehouse.transform import PROJECT_VARIABLE
from flows.workspace.secret import home_secret
from flows.workspace.workspace import home_store
from ml.data.datasets import write_dataset
from ml.data.simulation import simulate
from ml.data.targets import TARGETS
from ml.execution.results import read_results
from ml.execution.workers import machine_of
from ml.store import Store
from tests.conftest import REPOSITORY
from tests.dbt_projects import PARSE_VARIABLE
from tests.flows.conftest import START_MS
from tests.flows.shared_services import SharedServices
from tests.installed import Installed
from tests.synthetic import make_case, make_dataset

README = (REPOSITORY / "README.md").read_text("utf-8")
MODELS = (REPOSITORY / "ml/README.md").read_text("utf-8")
DEPLOYMENTS = (REPOSITORY / "deployments/README.md").read_text("utf-8")
CONTRIBUTING = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
DOCUMENTS = {path: path.read_text("utf-8") for path in (*REPOSITORY.glob("*.md"), *REPOSITORY.glob("[a-z]*/README.md"))}
ALL = "\n".join(DOCUMENTS.values())
#: A target, and another horizon for it.
SUMMARY, SHORTER = "horizon_summary_30", 20
SYMBOLS = ("BTC/USDT", "ETH/USDT", "BNB/USDT", "SOL/USDT", "ADA/USDT")


def recipe(name: str) -> str:
    """The block of code behind the mark of a recipe."""
    found = re.search(rf"<!-- recipe:{name}(?: \S+)? -->\n```\w*\n(.*?)```", ALL, re.DOTALL)
    assert found, f"no README has a recipe {name!r}"
    return found.group(1)


def _insert(path: Path, anchor: str, text: str) -> None:
    content = path.read_text("utf-8")
    assert content.count(anchor) >= 1, f"{anchor!r} is not in {path}"
    path.write_text(content.replace(anchor, text + anchor, 1), "utf-8")


def test_every_command_that_the_readme_names_exists() -> None:
    commands = set(re.findall(r"(?:^|`)candleworks ([a-z-]+)\b", ALL, re.MULTILINE))
    assert {"up", "down", "verify", "status", "leaderboard", "features"} <= commands
    for command in sorted(commands):
        done = CliRunner().invoke(application, [command, "--help"])
        assert done.exit_code == 0, f"candleworks {command}: {done.output}"


@pytest.mark.e2e
def test_every_make_target_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"`?make ([a-z]+)", README + CONTRIBUTING))
    assert {"demo", "test", "bench", "drill", "lint", "screenshot"} <= targets
    for target in sorted(targets):
        subprocess.run(["make", "--dry-run", target], cwd=REPOSITORY, check=True, capture_output=True)


def test_every_folder_that_the_readme_names_is_there() -> None:
    for name in re.findall(r"^\| `(\w+)/` \|", README, re.MULTILINE):
        assert (REPOSITORY / name).is_dir()


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    for path, content in DOCUMENTS.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", content):
            name, _, heading = target.partition("#")
            linked = (path.parent / name).resolve() if name else path
            assert linked.exists(), f"{path}: {target}"
            slugs = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in _headings(linked)]
            assert not heading or heading in slugs, f"{path}: {target}"


def _headings(path: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE) if path.suffix == ".md" else []


def test_the_readme_is_short_and_its_results_are_those_of_the_evidence() -> None:
    assert len(README.splitlines()) <= 150
    section = README.partition("## What it is worth")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\S+/\S+) (\w+) \| (.+) \|$", section, re.MULTILINE)
    assert len(rows) == 5
    for symbol, timeframe, figures in rows:
        (line,) = [
            line
            for line in MODELS.splitlines()
            if re.match(rf"\| {symbol} \| {timeframe} \|.* (promoted|refused) ", line)
        ]
        assert figures in line


def _identifiers(text: str) -> set[str]:
    """Names of code in backticks that look like a module or a function."""
    return set(re.findall(r"`((?:flows|ml|expectations)\.[\w.]+)`", text))


def test_the_names_of_the_architecture_exist() -> None:
    names = _identifiers(DOCUMENTS[REPOSITORY / "ARCHITECTURE.md"])
    assert len(names) > 10
    for name in names:
        parts = name.split(".")
        n = next(
            n
            for n in range(len(parts), 0, -1)
            if (REPOSITORY / "/".join(parts[:n])).with_suffix(".py").exists()
            or (REPOSITORY / "/".join(parts[:n])).is_dir()
        )
        found: object = importlib.import_module(".".join(parts[:n]))
        for part in parts[n:]:
            found = getattr(found, part)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory, small_dbt_environment: dict[str, str]) -> Path:
    """A copy of the project, with few features, in which the recipes for market, model and label were followed."""
    copy = tmp_path_factory.mktemp("followed") / "project"
    ignored = shutil.ignore_patterns("__pycache__", "target", "logs")
    for name in ("flows", "ml", "app", "expectations", "deployments"):
        shutil.copytree(REPOSITORY / name, copy / name, ignore=ignored)
    shutil.copytree(small_dbt_environment[PROJECT_VARIABLE], copy / "dbt", ignore=ignored)
    settings = (REPOSITORY / "candleworks.toml").read_text("utf-8")
    settings = re.sub(r"^symbols = .*\n", recipe("market"), settings, flags=re.MULTILINE)
    settings = re.sub(r"^timeframes = .*$", 'timeframes = ["1h"]', settings, flags=re.MULTILINE)
    (copy / "candleworks.toml").write_text(settings + '\n[sweep]\nsearch_spaces = ["space.toml"]\n', "utf-8")
    (copy / "ml/models/lasso.py").write_text(recipe("model"), "utf-8")
    registry = copy / "ml/models/__init__.py"
    _insert(registry, '    "lightgbm": ', recipe("model-line"))
    _insert(copy / "ml/models/parameters.py", "class Logistic(Parameters):", recipe("model-parameters") + "\n\n")
    labels = copy / "dbt/models/marts/candles/fct_labels"
    _insert(labels.with_suffix(".sql"), "        ln(highs[place + 1] / close) as label_high", recipe("label-final"))
    _insert(labels.with_suffix(".yml"), "      - {name: label_high,", recipe("label-contract"))
    targets = copy / "ml/data/targets.py"
    _insert(targets, "    NEXT_CANDLE: Target(", recipe("label-line"))
    shorter = targets.read_text("utf-8").replace(f"horizon={TARGETS[SUMMARY].horizon}", f"horizon={SHORTER}")
    targets.write_text(shorter, "utf-8")
    second = recipe("space").replace('name = "sparse"', 'name = "second"\ntarget = "second_candle"')
    (copy / "space.toml").write_text(recipe("space") + "\n" + second, "utf-8")
    for symbol, frame in simulate(SYMBOLS, "1h", START_MS, 80 * 24, seed=3).items():
        folder = copy / "candles" / "binance" / symbol.replace("/", "-")
        folder.mkdir(parents=True)
        frame.to_parquet(folder / "1h.parquet")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {PARSE_VARIABLE: small_dbt_environment[PARSE_VARIABLE]}
    command = [sys.executable, "-m", "flows", "demo", "--candles", "candles", "--hours", "0", "--home", "home"]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return copy


def _results(followed: Path) -> list[dict[str, object]]:
    import pyarrow.parquet as pq  # noqa: PLC0415

    files = sorted((followed / "home/store/results").rglob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


@pytest.mark.e2e
def test_the_recipe_for_a_market_adds_its_series(followed: Path) -> None:
    assert tomllib.loads(recipe("market"))["symbols"] == list(SYMBOLS)
    assert {row["symbol"] for row in _results(followed)} == set(SYMBOLS)


@pytest.mark.e2e
def test_a_label_is_as_long_as_its_horizon_which_stands_in_one_place(followed: Path) -> None:
    with duckdb.connect(str(followed / "home" / "warehouse.duckdb"), read_only=True) as connection:
        found = connection.execute(
            "select distinct date_diff('hour', open_time, summary_available_at) from marts.fct_labels "
            "where timeframe = '1h' and summary_available_at is not null"
        ).fetchall()
    assert found == [(1 + SHORTER,)]
    manifests = [json.loads(file.read_text()) for file in followed.glob("home/store/datasets/*/manifest.json")]
    assert {manifest["horizons"][SUMMARY] for manifest in manifests} == {SHORTER}


@pytest.mark.e2e
def test_the_recipe_for_a_model_gives_results(followed: Path) -> None:
    results = _results(followed)
    assert {row["model"] for row in results} == {"lasso"}
    assert {row["status"] for row in results} == {"tested"}, [row["error"] for row in results]
    assert len(results) == len(SYMBOLS) * 2 * 2 * 2  # calendar on and off, two alphas, two targets


@pytest.mark.e2e
def test_the_recipe_for_a_label_gives_results_that_are_not_ranked_beside_the_next_candle(followed: Path) -> None:
    cases = [json.loads(str(row["case_json"])) for row in _results(followed)]
    assert sorted({case["target"] for case in cases}) == ["next_candle", "second_candle"]
    done = subprocess.run(
        [sys.executable, "-m", "flows", "leaderboard", "--json", "--home", "home"],
        cwd=followed,
        capture_output=True,
        text=True,
        check=True,
    )
    ranked = [json.loads(row["case_json"])["target"] for row in json.loads(done.stdout)]
    assert set(ranked) == {"next_candle"}
    assert len(ranked) == len(cases) / 2


def test_the_recipe_for_notices_gives_a_target_and_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "candleworks.toml"
    path.write_text(recipe("notices"), "utf-8")
    export, command = recipe("notices-address").splitlines()
    name, _, url = export.removeprefix("export ").partition("=")
    notices = load_settings(path).notices
    monkeypatch.setenv(name, "")
    done = CliRunner().invoke(application, [*shlex.split(command)[1:], "--config", str(path), "--json"])
    assert (done.exit_code, json.loads(done.output)[0]["state"]) == (1, "failed")
    assert f"set {name}" in json.loads(done.output)[0]["detail"]
    monkeypatch.setenv(name, url)
    (target,) = load_settings(path).notices.targets
    assert target.variable == name
    assert render("score_band", notices.templates, SAMPLES["score_band"]) == "BTC/USDT 1h: 43,210.50 ▲▲ +0.31"


@pytest.mark.e2e
def test_a_worker_that_joins_as_the_readme_says_does_chunks(
    tmp_path: Path, shared_services: SharedServices, installed: Installed
) -> None:
    """Deployed and worked for with the wheel alone, away from the checkout."""
    from flows.server.deploy import workspace_environment  # noqa: PLC0415
    from flows.server.prefect_server import local_prefect_server, prefect_environment  # noqa: PLC0415

    store = Store(tmp_path / "store")
    dataset_id = write_dataset(store, make_dataset(), "test")
    port = free_port()
    shared_services.with_migrated_prefect(tmp_path)
    log_path = tmp_path / "worker.log"
    with local_prefect_server(tmp_path, port, services=True) as url:
        environment = {
            **prefect_environment(tmp_path, url),
            **workspace_environment(tmp_path, tmp_path / "none.toml"),
        }
        by_wheel = {**installed.environment_variables(), **environment}
        code = "from pathlib import Path; from flows.server.deploy import deploy; deploy({}, Path('deploy.log'))"
        subprocess.run([installed.program("python"), "-c", code], cwd=tmp_path, env=by_wheel, check=True)
        write_records(tmp_path, [record_of(SERVER_NAME, os.getpid(), url.removesuffix("/api"))])
        line = _output_of(recipe("worker"), tmp_path)
        # As on another machine, which has the wheel and knows nothing but the line.
        elsewhere = {**installed.environment_variables(), "PREFECT_HOME": str(tmp_path / "elsewhere")}
        worker = start_child(["sh", "-c", line], elsewhere, log_path, cwd=tmp_path)
        try:
            code = (
                "import sys, time\n"
                "from flows.pools.work_pools import run_on_work_pool, has_online_worker\n"
                "from ml.execution.chunks import Chunk\n"
                "from ml.store import Store\n"
                "from tests.synthetic import make_case\n"
                "deadline = time.monotonic() + 60\n"
                "while not has_online_worker('cpu') and time.monotonic() < deadline: time.sleep(0.5)\n"
                f"chunk = Chunk({dataset_id!r}, tuple(make_case(lags=lags) for lags in (1, 2)))\n"
                f"print(run_on_work_pool('cpu', Store({store.url!r}), chunk, 60.0, {{}}))\n"
            )
            # As a person who uses Prefect by hand; port and home are those of this test.
            by_hand = _by_hand().replace("4200", str(port)).replace(".candleworks", str(tmp_path))
            done = subprocess.run(
                ["sh", "-c", f'{by_hand}\nexec "$@"', "sh", sys.executable, "-c", code],
                cwd=REPOSITORY,
                env=_elsewhere(tmp_path),
                capture_output=True,
                text=True,
                timeout=180,
                check=False,
            )
        finally:
            stop_child(worker)
    assert done.returncode == 0, done.stderr + log_path.read_text()
    keys = re.findall(r"'case_key': '(\w+)', 'status': 'tested'", done.stdout)
    assert keys == [make_case(lags=lags).key for lags in (1, 2)]
    assert home_secret(tmp_path) not in line + log_path.read_text()
    # Its results are signed: the home knows them as those of the machine that it has lent, whatever they report.
    rows = read_results(home_store(store.url, tmp_path), dataset_id)
    assert {(row["signer"], machine_of(row["worker"])) for row in rows} == {("cpu-1", "cpu-1")}


def _output_of(command: str, home: Path) -> str:
    _, *arguments = shlex.split(command)
    return CliRunner().invoke(application, [*arguments, "--home", str(home)], catch_exceptions=False).output


def _by_hand() -> str:
    found = re.search(r"^export PREFECT_API_URL=.*$", DEPLOYMENTS, re.MULTILINE)
    assert found
    return found.group()


def _elsewhere(folder: Path) -> dict[str, str]:
    """The environment of a person who has set nothing for the program, with a folder for what Prefect keeps."""
    plain = {k: v for k, v in child_environment().items() if not k.startswith(("PREFECT_", "CANDLEWORKS_"))}
    return {**plain, "PREFECT_HOME": str(folder / "elsewhere")}
