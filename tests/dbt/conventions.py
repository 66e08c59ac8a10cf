"""The conventions of the dbt project, held against a manifest as `make conventions` does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml

from flows.warehouse import transform


def breaches(manifest: Path, folder: Path) -> set[tuple[str, str]]:
    """Check and resource of each breach; `folder` takes what is written for it."""
    settings = yaml.safe_load((transform.dbt_project() / "dbt-bouncer.yml").read_text("utf-8"))
    config, output = folder / "dbt-bouncer.yml", folder / "found.json"
    config.write_text(yaml.safe_dump({**settings, "dbt_artifacts_dir": str(manifest.parent)}), "utf-8")
    bouncer = Path(sys.executable).with_name("dbt-bouncer")
    command = [bouncer, "run", "--config-file", config, "--output-format", "json", "--output-file", output]
    done = subprocess.run([*command, "--output-only-failures"], capture_output=True, text=True, check=False)
    found = json.loads(output.read_text("utf-8")) if output.exists() else []
    assert bool(done.returncode) == bool(found), done.stdout + done.stderr
    named = [one["check_run_id"].split(":") for one in found]
    return {(parts[0], parts[-1]) for parts in named}
