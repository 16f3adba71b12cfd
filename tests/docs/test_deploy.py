"""The files in deploy/: what can be said of them without a cluster."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.projects import HANG_SECONDS
from tests.helpers.tiny import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text(encoding="utf-8"))
CRON_JOB: dict[str, Any] = yaml.safe_load((DEPLOY / "kubernetes/nights.yaml").read_text(encoding="utf-8"))
EXAMPLES = sorted(DEPLOY.rglob("*.example*"))


def commands() -> dict[tuple[str, ...], set[str]]:
    """The commands of bmix, Prefect and MLflow in all files, each with the options that it is given."""
    found = [re.findall(r"^ExecStart=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)[0] for unit in UNITS]
    lines = [line.removeprefix("/srv/bmix/.venv/bin/") for line in found]
    services = [service["command"] for service in COMPOSE["services"].values() if "command" in service]
    for words in [*services, container()["command"]]:
        joined = re.sub(r"\\\n\s*", "", words[2].partition("exec ")[2]) if words[0] == "sh" else " ".join(words)
        lines.append(joined)
    options: dict[tuple[str, ...], set[str]] = {}
    for words in (line.split() for line in lines):
        first = next((number for number, word in enumerate(words) if word.startswith("--")), len(words))
        options.setdefault(tuple(words[:first]), set()).update(word for word in words if word.startswith("--"))
    return options


def container() -> dict[str, Any]:
    found: dict[str, Any] = CRON_JOB["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    return found


@pytest.mark.parametrize(
    ("command", "options"),
    commands().items(),
    ids=lambda part: " ".join(sorted(part) if isinstance(part, set) else part),
)
def test_commands_and_their_options_are_there(command: tuple[str, ...], options: set[str]) -> None:
    program = [sys.executable, *(command[1:] if command[0] == "python" else ["-m", *command])]
    environment = os.environ | {"COLUMNS": "200"}
    told = subprocess.run([*program, "--help"], capture_output=True, text=True, timeout=HANG_SECONDS, env=environment)
    assert told.returncode == 0, told.stderr
    assert {option for option in options if option not in told.stdout} == set()


def test_nothing_is_reached_from_elsewhere() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)
    units = "".join(unit.read_text(encoding="utf-8") for unit in UNITS)
    assert set(re.findall(r"--host (\S+)", units)) == {"127.0.0.1"}
    assert units.count("--host") == 3


def test_no_secret_stands_in_a_file() -> None:
    for example in EXAMPLES:
        settings = re.findall(r"^\W*([A-Z_]+)[ \t]*[=:][ \t]*(.*)$", example.read_text(encoding="utf-8"), re.MULTILINE)
        assert settings
        for name, value in settings:
            assert not re.search("SECRET|PASSWORD|ACCESS_KEY", name) or value in ("", '""'), example
            assert not re.search(r"://\w+:(?!PASSWORD@)\w+@", value), example
    for service in COMPOSE["services"].values():
        told = {name: value for name, value in service.get("environment", {}).items() if "PASSWORD" in name}
        assert told in ({}, {"POSTGRES_PASSWORD_FILE": "/run/secrets/postgres_password"})
    assert COMPOSE["secrets"] == {"postgres_password": {"file": "./postgres_password"}}
    ignored = [(REPOSITORY / name).read_text(encoding="utf-8") for name in (".gitignore", ".dockerignore")]
    assert all("deploy/compose/postgres_password" in text and "deploy/compose/s3.env" in text for text in ignored)


def test_what_compose_names_is_there() -> None:
    services = COMPOSE["services"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (DEPLOY / "compose" / source).exists(), volume
            elif not source.startswith("/"):
                assert source in COMPOSE["volumes"], volume
    needed = [service.get("depends_on", {}) for service in services.values()]
    waited = {name for needs in needed for name, how in needs.items() if how["condition"] == "service_healthy"}
    assert all("healthcheck" in services[name] for name in waited)


def test_the_night_of_the_cron_job_is_the_only_one() -> None:
    spec = CRON_JOB["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    assert {mount["name"] for mount in container()["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    secret = yaml.safe_load((DEPLOY / "kubernetes/secret.example.yaml").read_text(encoding="utf-8"))
    assert container()["envFrom"] == [{"secretRef": {"name": secret["metadata"]["name"]}}]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for unit in UNITS:
        # Here are neither the user nor the programs that the units name.
        text = re.sub(r"/srv/bmix/\.venv/bin/\w+", "/bin/true", unit.read_text(encoding="utf-8"))
        (tmp_path / unit.name).write_text(text.replace("User=bmix", "User=root").replace("/srv/bmix", str(tmp_path)))
    paths = sorted(map(str, tmp_path.glob("*.service")))
    done = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
