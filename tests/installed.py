"""The wheel, built from this checkout and installed into a virtual environment that knows nothing of the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import REPOSITORY

#: What a checkout of git has, and what work leaves in it.
FOLDERS = ("flows", "ml", "app", "expectations", "dbt", "deployments")
FILES = ("pyproject.toml", "README.md", "LICENSE", "candleworks.toml")
LEFTOVERS = ("dbt/target/manifest.json", "dbt/logs/dbt.log", "dbt/plugins/__pycache__/a.cpython-311.pyc")


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel and, by reference, the packages of the tests' own environment."""

    wheel: Path
    environment: Path

    def program(self, name: str) -> str:
        """The path of a program such as ``candleworks`` or ``python``."""
        return str(self.environment / "bin" / name)

    @property
    def site_packages(self) -> Path:
        return next(self.environment.glob("lib/python*/site-packages"))

    def environment_variables(self) -> dict[str, str]:
        """Those of a person who has activated the environment, and set nothing for the program."""
        skipped = ("PREFECT_", "CANDLEWORKS_", "PYTHON")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(skipped)}
        return kept | {"PATH": os.pathsep.join([str(self.environment / "bin"), kept.get("PATH", os.defpath)])}

    def run(self, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a program, as a rule of the environment, in a folder."""
        return subprocess.run(
            list(words),
            executable=shutil.which(words[0], path=self.environment_variables()["PATH"]),
            cwd=folder,
            env=self.environment_variables(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def shipped_files(self) -> dict[str, int]:
        """Every file of the product -> when it was written; but byte code, which Python keeps beside its modules."""
        folders = [self.site_packages / name for name in ("candleworks", "flows", "ml", "app", "expectations")]
        files = [file for folder in folders for file in folder.rglob("*") if file.suffix != ".pyc" and file.is_file()]
        return {str(file): file.stat().st_mtime_ns for file in files}

    def install_again(self) -> None:
        """`pip install --force-reinstall --no-deps WHEEL`, without an index."""
        words = ("--offline", "--no-deps", "--force-reinstall", "--python", self.program("python"))
        _uv("pip", "install", *words, str(self.wheel))


def build_wheel(folder: Path) -> Path:
    """`uv build` in a copy of the checkout; the builder is the one of our environment, so that no index is asked."""
    copy = folder / "checkout"
    copy.mkdir()
    for name in FOLDERS:
        shutil.copytree(REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "target", "logs"))
    for name in FILES:
        shutil.copy(REPOSITORY / name, copy)
    for name in LEFTOVERS:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("left by work in the checkout", "utf-8")
    words = ("--offline", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(folder / "dist"))
    _uv("build", *words, str(copy))
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def install_wheel(folder: Path) -> Installed:
    """A new virtual environment with the wheel in it."""
    wheel, environment = build_wheel(folder), folder / "environment"
    _uv("venv", "--offline", "--python", sys.executable, str(environment))
    installed = Installed(wheel, environment)
    installed.install_again()
    # A line of a .pth file is put on the path, but the .pth files there (the editable checkout) are not followed.
    ours = Path(sysconfig.get_paths()["purelib"])
    (installed.site_packages / "packages_of_the_tests.pth").write_text(f"{ours}\n", "utf-8")
    # What installing Prefect there would have written.
    script = (Path(sys.executable).parent / "prefect").read_text("utf-8").split("\n", 1)[1]
    prefect = environment / "bin" / "prefect"
    prefect.write_text(f"#!{installed.program('python')}\n{script}", "utf-8")
    prefect.chmod(0o755)
    return installed


def _uv(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "uv", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
