"""What the container files promise: nobody's root, nothing writable, nothing unpinned, no secret inside."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from commands import mfas
from mfas.service.settings import Limits

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    """Instructions of the Containerfile and their arguments, continuation lines joined."""
    text = (DEPLOY / "Containerfile").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines()
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    assert isinstance(content, dict)
    return content


def last_stage(steps: list[tuple[str, str]]) -> list[tuple[str, str]]:
    at = max(k for k, (name, _) in enumerate(steps) if name == "FROM")
    return steps[at:]


def test_the_base_must_be_given_by_digest(steps: list[tuple[str, str]]) -> None:
    assert {argument.split()[0] for name, argument in steps if name == "FROM"} == {"${BASE}"}
    assert [argument for name, argument in steps if name == "ARG" and argument.startswith("BASE")] == ["BASE", "BASE"]
    check = next(argument for name, argument in steps if name == "RUN")
    assert f"*@sha256:{'?' * 64}" in check
    assert "exit 1" in check


def test_it_runs_as_nobody_special_and_holds_no_pip(steps: list[tuple[str, str]]) -> None:
    last = last_stage(steps)
    (user,) = [argument for name, argument in last if name == "USER"]
    assert all(int(part) >= 10_000 for part in user.split(":"))
    names = [name for name, _ in last]
    assert "RUN" not in names[names.index("USER") :]
    assert any(name == "RUN" and "pip uninstall" in argument and "ensurepip" in argument for name, argument in last)
    assert not any(name == "ADD" or "curl" in argument or "wget" in argument for name, argument in steps)
    assert not re.search("secret|password|token", " ".join(a for n, a in steps if n in ("ENV", "ARG")), re.IGNORECASE)


def test_what_it_copies_is_there_and_what_it_starts_exists(steps: list[tuple[str, str]]) -> None:
    for name, argument in steps:
        if name == "COPY" and not argument.startswith("--from"):
            for part in argument.split()[:-1]:
                assert (DEPLOY.parent / part).exists(), part
    command = yaml.safe_load(next(argument for name, argument in steps if name == "CMD"))
    assert next(argument for name, argument in steps if name == "ENTRYPOINT") == '["mfas"]'
    _options_exist(command)


def _options_exist(command: list[str]) -> None:
    told = mfas(command[0], "--help").out
    for part in command[1:]:
        if part.startswith("--"):
            assert part in told


def test_the_service_can_write_nothing_and_gain_nothing(compose: dict[str, Any]) -> None:
    service = compose["services"]["mfas"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert all(int(part) >= 10_000 for part in service["user"].split(":"))
    assert "volumes" not in service
    assert "privileged" not in service
    assert service["deploy"]["replicas"] == 2
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    _options_exist(service["command"])


def test_images_are_given_secrets_are_files_and_the_database_is_within(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert re.fullmatch(r"\$\{\w+:\?[^}]*@sha256:DIGEST\}", service["image"])
        for name, value in service.get("environment", {}).items():
            assert not re.search("SECRET|PASS", name) or value.startswith("/run/secrets/")
        assert set(service["secrets"]) <= set(compose["secrets"])
    assert "ports" not in compose["services"]["postgres"]
    assert compose["services"]["postgres"]["networks"] == ["back"]
    assert compose["networks"]["back"]["internal"] is True
    assert all(port.startswith("127.0.0.1:") for port in compose["services"]["mfas"]["ports"])


def test_it_has_the_time_to_stop_in_order(compose: dict[str, Any]) -> None:
    limits = Limits()
    grace = int(compose["services"]["mfas"]["stop_grace_period"].removesuffix("s"))
    assert grace > limits.upload_seconds + limits.deadline_seconds
