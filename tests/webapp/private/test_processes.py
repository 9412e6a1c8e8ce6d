"""A worker, a web server and a client's command as processes of their own; the worker is killed in the middle."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from typer.testing import CliRunner

from provenance.cli import app
from tests.provenance.private_lookup.held import HeldFile
from tests.webapp.catalogues.test_kill import wait_until, worker
from tests.webapp.conftest import Cast
from tests.webapp.pictures import jpeg, png
from tests.webapp.private.conftest import Keyholders, begin, fill
from tests.webapp.private.test_asking import ask
from webapp.catalogues.models import Catalogue
from webapp.jobs.models import Job
from webapp.private.kit import kit
from webapp.private.models import PrivateCatalogue, PrivateQuestion, QuestionState
from webapp.private.storage import blocks_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def private(cast: Cast, catalogue: Catalogue, place: Keyholders) -> PrivateCatalogue:
    """A private catalogue of three pictures."""
    made = begin(cast, catalogue)
    fill(cast, made, {f"{seed}.png": png(seed) for seed in (1, 2, 3)})
    return made


def held_block(private: PrivateCatalogue) -> HeldFile:
    """Stop the engine that compares with the catalogue's one block; keyholders have it in memory."""
    (path,) = blocks_of(private).glob("*.block")
    return HeldFile(path)


def test_a_worker_that_is_killed_while_it_compares_is_followed_by_one_that_asks_again(
    cast: Cast, private: PrivateCatalogue, tmp_path: Path
) -> None:
    check, log = ask(private, jpeg(1), cast.outsider, run=False), tmp_path / "log"
    with held_block(private) as block, worker(log):
        block.wait()
    question = PrivateQuestion.objects.get(check_row=check)
    assert (question.state, question.attempts) == (QuestionState.ASKED, 1)
    with worker(log) as process:
        wait_until(lambda: Job.objects.get(pk=check.job_id).is_final, process, log)
    question.refresh_from_db()
    assert (question.state, question.attempts, question.matches) == (QuestionState.ANSWERED, 2, True)


def test_a_client_asks_through_the_site_by_the_command(
    cast: Cast, private: PrivateCatalogue, live_server: Any, tmp_path: Path
) -> None:
    path = f"{live_server.url}/api/v1/private-catalogues/{private.catalogue_id}"
    with zipfile.ZipFile(io.BytesIO(kit(private))) as archive:
        archive.extractall(tmp_path)
    home = {"PROVENANCE_PASSPHRASE": "home", "PROVENANCE_API_KEY": cast.partner_secret}
    run, log = CliRunner(env=home), tmp_path / "log"
    assert run.invoke(app, ["catalogue", "identity", str(tmp_path / "client"), "newsroom"]).exit_code == 0
    identity = (tmp_path / "client" / "identity.json").read_text()
    cast.client("owner").post(reverse("private:clients", args=[private.catalogue_id]), {"identity": identity})
    for seed in (2, 77):
        (tmp_path / f"{seed}.jpg").write_bytes(jpeg(seed))

    def words(seed: int, at: str = path) -> list[str]:
        files = {"agreement": "agreement.json", "keys": "keys", "identity": "client"}
        given = [part for name, file in files.items() for part in (f"--{name}", str(tmp_path / file))]
        return ["catalogue", "ask-site", str(tmp_path / f"{seed}.jpg"), "--at", at, *given]

    # The block is held until after the worker is killed.
    with ExitStack() as held, worker(log):
        found = run.invoke(app, [*words(2), "--who", "--json"])
        assert found.exit_code == 0, found.output
        said = json.loads(found.stdout)
        assert (said["matches"], said["places"], said["entries"]) == (True, [[0, 1]], 3)
        other = run.invoke(app, words(77))
        assert other.exit_code == 1, other.output
        assert other.stdout.startswith("Nothing in the catalogue matches.")
        # The site took three questions to the keyholders, and knows what none of them was answered.
        assert list(PrivateQuestion.objects.values_list("state", "matches")) == [(QuestionState.ANSWERED, None)] * 3
        block = held.enter_context(held_block(private))
        program = [sys.executable, "-m", "provenance.cli", *words(2)]
        asking = subprocess.Popen(program, env={**os.environ, **home}, stderr=subprocess.PIPE, text=True)
        block.wait()
    # What its client signed is begun once: the next worker says that it was not answered, and the client asks anew.
    with worker(log):
        _said, why = asking.communicate(timeout=120)
    assert (asking.returncode, "was stopped each time" in why) == (2, True)

    for wrong, why in (
        ({"PROVENANCE_API_KEY": "pvk_wrong"}, "The site refuses (401)"),
        ({"PROVENANCE_PASSPHRASE": "wrong"}, "does not open"),
    ):
        refused = run.invoke(app, words(2), env=wrong)
        assert (refused.exit_code, why in refused.stderr) == (2, True), refused.stderr
    refused = run.invoke(app, words(2, path.replace("localhost", "site.example")))
    assert (refused.exit_code, "begins with https://" in refused.stderr) == (2, True)
