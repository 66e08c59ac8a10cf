"""The wheel has all that the product needs, and works away from the checkout. The whole demo in it: test_demo.py."""

from __future__ import annotations

import json
import shutil
import urllib.request
import zipfile
from pathlib import Path

import psutil
import pytest

from flows.processes.children import start_child, stop_child
from flows.processes.ports import free_port, wait_for_answer
from flows.warehouse.transform import PROJECT_VARIABLE
from ml.version import code_version
from tests.conftest import REPOSITORY
from tests.installed import LEFTOVERS, Installed

pytestmark = pytest.mark.e2e

#: Folder of the checkout -> where the wheel has it, and what of it the product needs.
PLACES = {
    "flows": ("flows", "*.py"),
    "ml": ("ml", "*.py *.toml *.j2"),
    "app": ("app", "*.py *.css *.js"),
    "expectations": ("expectations", "*.py"),
    "dbt": ("flows/shipped/dbt", "*.sql *.yml *.py *.md"),
    "deployments": ("flows/shipped/deployments", "*.yaml *.json *.md"),
}


def _expected() -> set[str]:
    found = {"flows/shipped/candleworks.toml", "candleworks/__init__.py"}
    for folder, (place, patterns) in PLACES.items():
        files = [file for pattern in patterns.split() for file in (REPOSITORY / folder).rglob(pattern)]
        inside = [file.relative_to(REPOSITORY / folder) for file in files]
        found |= {f"{place}/{file.as_posix()}" for file in inside if not {"target", "logs"} & set(file.parts)}
    return {name for name in found if not name.startswith("flows/public/")}


def test_the_wheel_has_every_file_of_the_product_and_nothing_else(installed: Installed) -> None:
    names = {name for name in zipfile.ZipFile(installed.wheel).namelist() if ".dist-info/" not in name}
    assert names == _expected(), "a new package is named under [tool.setuptools] in pyproject.toml"
    assert not any(Path(left).name in name for left in LEFTOVERS for name in names)


def test_the_program_runs_from_the_wheel_in_an_empty_folder(installed: Installed, tmp_path: Path) -> None:
    done = installed.run("candleworks", "--version", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "candleworks 0.1.0\n"), done.stderr
    code = (
        "import json, sys, candleworks, flows, ml.version, app.theme, expectations\n"
        "from flows.warehouse.feature_columns import DEFAULT_SPACE\n"
        "from flows.simulation.preparation import SMALL_SPACE\n"
        "from flows.server.deploy import DEPLOYMENTS\n"
        "from ml.canaries.search import FIELD\n"
        "from ml.search.spaces import read_search_spaces\n"
        "from ml.trading.signals import read_signals\n"
        "from ml.version import code_version\n"
        "spaces = [len(read_search_spaces(file)) for file in (DEFAULT_SPACE, SMALL_SPACE, FIELD)]\n"
        "spaces.append(len(read_signals(())))\n"
        "files = [one.__file__ for one in (candleworks, flows, ml, app.theme, expectations)]\n"
        "files += [str(DEPLOYMENTS / 'prefect.yaml'), str(app.theme.STYLE)]\n"
        "print(json.dumps([files, spaces, len(app.theme.STYLE.read_text()), code_version()]))\n"
    )
    done = installed.run("python", "-c", code, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    files, spaces, style, version = json.loads(done.stdout)
    assert all(file.startswith(str(installed.site_packages)) for file in files), files
    assert all(Path(file).is_file() for file in files)
    assert min(spaces) > 0 and style > 1000
    # Workers of a wheel and of a checkout of the same sources may share one sweep.
    assert version == code_version()
    assert list(tmp_path.iterdir()) == []


def test_init_writes_the_settings_file_that_up_asks_for(installed: Installed, tmp_path: Path) -> None:
    for words, name in (([], "candleworks.toml"), (["--config", "other.toml"], "other.toml")):
        refused = installed.run("candleworks", "up", *words, folder=tmp_path)
        remedy = f"`candleworks init{''.join(f' {word}' for word in words)}`"
        assert refused.returncode == 2 and remedy in refused.stderr
        done = installed.run(*remedy.strip("`").split(), folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / name).read_text("utf-8") == (REPOSITORY / "candleworks.toml").read_text("utf-8")
    edited = tmp_path / "candleworks.toml"
    edited.write_text("# mine\n", "utf-8")
    again = installed.run("candleworks", "init", folder=tmp_path)
    assert again.returncode == 2 and "candleworks.toml already exists" in again.stderr
    assert edited.read_text("utf-8") == "# mine\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["candleworks.toml", "other.toml"]


def test_the_dashboard_is_served_from_the_wheel(installed: Installed, tmp_path: Path) -> None:
    port, log_path = free_port(), tmp_path / "app.log"
    child = start_child(
        [installed.program("candleworks"), "app", "--port", str(port)],
        installed.environment_variables(),
        log_path,
        cwd=tmp_path,
    )
    try:
        wait_for_answer(child, port, "app", path="/_stcore/health", log_path=log_path)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
            assert b"<title>" in page.read()
        assert str(installed.site_packages / "app" / "main.py") in psutil.Process(child.pid).cmdline()
    finally:
        stop_child(child)


def test_a_copy_of_the_dbt_project_takes_its_place_as_the_readme_says(installed: Installed, tmp_path: Path) -> None:
    readme = (REPOSITORY / "dbt" / "README.md").read_text("utf-8")
    (block,) = [block for block in readme.split("```")[1::2] if PROJECT_VARIABLE in block]
    (tmp_path / "weather.csv").write_text("available_at,value\n2024-01-01,1\n", "utf-8")
    add_a_series = "sed -i 's/exogenous_series: \\[/&weather, /' my_dbt/dbt_project.yml"
    load = "candleworks outside weather weather.csv"
    refused = installed.run("bash", "-ec", load, folder=tmp_path)
    assert refused.returncode == 2 and "no exogenous series 'weather'" in refused.stderr
    (tmp_path / "candleworks.toml").write_text('[exchange]\nbase_url = "http://127.0.0.1:9"\nretries = 0\n', "utf-8")
    known = installed.run("bash", "-ec", f"{block}\n{add_a_series}\n{load}", folder=tmp_path)
    assert known.returncode == 2 and "binance failed at the time" in known.stderr, known.stderr


@pytest.mark.parametrize(("part", "command"), [("dbt", ["transform"]), ("deployments", ["up"])])
def test_a_part_that_is_missing_is_said_in_one_line_with_a_remedy_that_works(
    installed: Installed, tmp_path: Path, part: str, command: list[str]
) -> None:
    installed.run("candleworks", "init", folder=tmp_path)
    place = installed.site_packages / "flows" / "shipped" / part
    shutil.move(place, tmp_path / part)
    broken = installed.run("candleworks", *command, folder=tmp_path)
    assert broken.returncode == 2
    assert broken.stderr.count("\n") == 1 and f"lacks {part}: it is neither {place}" in broken.stderr
    assert "pip install --force-reinstall --no-deps WHEEL" in broken.stderr
    installed.install_again()
    assert (place / ("dbt_project.yml" if part == "dbt" else "prefect.yaml")).is_file()
