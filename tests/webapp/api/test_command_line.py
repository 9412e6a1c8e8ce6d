"""`provenance check` against the API itself, so that neither can change without the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from django.test import Client
from typer.testing import CliRunner

from provenance.cli import app
from tests.webapp.api.conftest import Partner, picture, work_off
from tests.webapp.conftest import Cast
from tests.webapp.pictures import jpeg
from webapp.catalogues.models import Catalogue

SITE = "http://testserver"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the command line's requests answered by the application; its worker works while the client waits."""

    def answer(request: httpx.Request) -> httpx.Response:
        content_type = request.headers.pop("Content-Type", "")
        answered = Client().generic(
            request.method, request.url.path, request.read(), content_type, headers=dict(request.headers)
        )
        return httpx.Response(answered.status_code, headers=dict(answered.items()), content=answered.content)

    client = httpx.Client

    def connected(**options: Any) -> httpx.Client:
        return client(transport=httpx.MockTransport(answer), **options)

    monkeypatch.setattr("provenance.cli.httpx.Client", connected)
    monkeypatch.setattr("provenance.cli.time.sleep", lambda _seconds: work_off())


def ask(path: Path, key: str) -> Any:
    return CliRunner().invoke(app, ["check", str(path), "--url", SITE], env={"PROVENANCE_KEY": key})


def test_a_registered_picture_is_found_and_another_is_not(
    site: None, cast: Cast, partner: Partner, catalogue: Catalogue, tmp_path: Path
) -> None:
    partner.post(f"/catalogues/{catalogue.pk}/items", {"file": picture(1, "harbour.jpg")})
    work_off()
    for seed in (1, 2):
        (tmp_path / f"{seed}.jpg").write_bytes(jpeg(seed))

    found = ask(tmp_path / "1.jpg", cast.partner_secret)
    other = ask(tmp_path / "2.jpg", cast.partner_secret)

    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("Registered\n")
    assert f"{SITE}/check/" in found.stdout
    assert other.exit_code == 1, other.output


def test_a_refusal_is_passed_on(site: None, cast: Cast, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(jpeg(1))
    done = ask(tmp_path / "1.jpg", "pvk_wrong")
    assert done.exit_code == 2
    assert done.stderr.strip()
    assert "pvk_wrong" not in done.output
