"""The commands of the HTTP API and their settings; its server runs in `up` too (test_up)."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.api import options as api_options
from app.api.__main__ import check
from app.api.keys import digest_of, name_of
from app.api.options import ApiOptions, read_options
from flows.cli import application
from flows.processes.ports import free_port, wait_for_answer
from flows.server import http_api
from flows.server.up import UpOptions
from flows.server.up import check as check_up
from flows.settings import ApiSettings, load_settings
from ml.errors import ConfigurationError, ServiceError

KEY_LINE = 'phone = "sha256:' + "0" * 64 + '"\n'


def _settings(tmp_path: Path, text: str) -> ApiSettings:
    path = tmp_path / "candleworks.toml"
    path.write_text(text)
    return load_settings(path).api


def test_the_line_that_api_key_prints_lets_its_key_in(tmp_path: Path) -> None:
    done = CliRunner().invoke(application, ["api-key", "phone"])
    assert done.exit_code == 0
    _, key, _, _, *lines = done.output.splitlines()
    settings = _settings(tmp_path, "\n".join(lines) + "\n")
    assert key.startswith("cw_") and len(key) > 40 and key not in "\n".join(lines)
    assert (
        settings.key_digests
        == {"phone": digest_of(key)}
        == {"phone": f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"}
    )
    assert name_of(key, settings.key_digests) == "phone"


def test_keys_come_from_the_environment_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANDLEWORKS_API__KEYS", json.dumps({"ci": "sha256:" + "a" * 64}))
    assert _settings(tmp_path, "").key_digests == {"ci": "sha256:" + "a" * 64}


def test_a_key_in_the_settings_is_refused_and_not_shown(tmp_path: Path) -> None:
    for text in ('[api.keys]\nphone = "cw_this-is-a-key"\n', '[api.keys]\n"cw_this-is-a-key" = "sha256:1"\n'):
        with pytest.raises(ConfigurationError, match=r"candleworks api-key NAME") as error:
            _settings(tmp_path, text)
        assert "this-is-a-key" not in str(error.value) and len(error.value.lines()) == 1


def test_other_machines_need_a_key(tmp_path: Path) -> None:
    open_to_all = ApiSettings(host="0.0.0.0")
    for refused in (lambda: http_api.check_host(open_to_all), lambda: check(ApiOptions(host="0.0.0.0"))):
        with pytest.raises(ConfigurationError, match=r"not on 0\.0\.0\.0\. Run `candleworks api-key NAME`"):
            refused()
    with_key = _settings(tmp_path, '[api]\nhost = "0.0.0.0"\n[api.keys]\n' + KEY_LINE)
    http_api.check_host(with_key)
    check(ApiOptions(host="0.0.0.0", key_digests=with_key.key_digests))
    assert http_api.address_of(with_key) == "http://127.0.0.1:8502"


def test_the_server_reads_the_options_that_the_command_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert http_api.VARIABLE == api_options.VARIABLE
    settings = ApiSettings(port=9000, keys={"a": "sha256:" + "1" * 64}, calls_per_minute=7, stream_clients=2)
    for name, value in http_api.api_environment("store", settings).items():
        monkeypatch.setenv(name, value)
    assert read_options().model_dump() == {"store_url": "store", **settings.model_dump()}


def test_up_checks_the_port_of_the_api_before_it_starts_anything(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(3)]
    options = UpOptions(
        tmp_path, tmp_path / "c", server_port=ports[0], app_port=ports[1], api=ApiSettings(port=ports[2])
    )
    check_up(options)
    with pytest.raises(ServiceError, match=f"cannot share port {ports[1]}: choose another with --api-port"):
        check_up(replace(options, api=ApiSettings(port=ports[1])))
    with pytest.raises(ConfigurationError, match="candleworks api-key"):
        check_up(replace(options, api=ApiSettings(port=ports[2], host="0.0.0.0")))


@pytest.mark.e2e
def test_the_command_serves_a_home_and_refuses_a_port_in_use(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "flows", "api", "--home", str(tmp_path), "--port", str(port)]
    environment = {**os.environ, "CANDLEWORKS_API__KEYS": "{}"}
    log_path = tmp_path / "api.log"
    with log_path.open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        wait_for_answer(server, port, "HTTP API", path="/v1/health", log_path=log_path)
        second = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    finally:
        server.terminate()
        server.wait(10)
    assert second.returncode == 2 and f"Port {port} for the HTTP API is in use" in second.stderr
    assert f"http://127.0.0.1:{port}/docs" in log_path.read_text()
    assert "GET /v1/health 200" in log_path.read_text()
