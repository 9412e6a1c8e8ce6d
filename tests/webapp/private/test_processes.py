"""A live site that a client asks by the command, and workers that are killed for real in the middle of a question."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from typer.testing import CliRunner

from provenance import cli_private_site
from provenance.cli import app
from tests.provenance.private_lookup.held import HeldFile
from tests.webapp.api.conftest import work_off
from tests.webapp.catalogues.test_kill import worker
from tests.webapp.conftest import Cast
from tests.webapp.pictures import jpeg, png
from tests.webapp.private.conftest import Keyholders, begin, fill
from tests.webapp.private.test_asking import ask
from webapp.catalogues.models import Catalogue
from webapp.jobs.models import Job, JobState
from webapp.jobs.services import jobs_recover
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


def kill_a_worker(private: PrivateCatalogue, log: Path) -> None:
    """Have a worker process begin what waits, kill it while it compares, and have the work found again."""
    (path,) = blocks_of(private).glob("*.block")
    # Keyholders have the block in memory: who reads it is the worker's engine.
    with HeldFile(path) as block, worker(log):
        block.wait()
    lost = Job.objects.filter(state=JobState.RUNNING)
    assert lost.update(lease_until=timezone.now() - timedelta(seconds=1)) == 1
    assert jobs_recover() == 1


def test_it_works_and_nothing_hangs(
    cast: Cast, private: PrivateCatalogue, live_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{live_server.url}/api/v1/private-catalogues/{private.catalogue_id}"
    with zipfile.ZipFile(io.BytesIO(kit(private))) as archive:
        archive.extractall(tmp_path)
    home = {"PROVENANCE_PASSPHRASE": "home", "PROVENANCE_API_KEY": cast.partner_secret}
    run = CliRunner(env=home)
    assert run.invoke(app, ["catalogue", "identity", str(tmp_path / "client"), "newsroom"]).exit_code == 0
    identity = (tmp_path / "client" / "identity.json").read_text()
    cast.client("owner").post(reverse("private:clients", args=[private.catalogue_id]), {"identity": identity})
    for seed in (2, 77):
        (tmp_path / f"{seed}.jpg").write_bytes(jpeg(seed))

    def words(seed: int, at: str = path) -> list[str]:
        files = {"agreement": "agreement.json", "keys": "keys", "identity": "client"}
        given = [part for name, file in files.items() for part in (f"--{name}", str(tmp_path / file))]
        return ["catalogue", "ask-site", str(tmp_path / f"{seed}.jpg"), "--at", at, *given]

    def while_it_waits(work: Callable[[], None]) -> None:
        clock = SimpleNamespace(perf_counter=time.perf_counter, sleep=lambda _seconds: work())
        monkeypatch.setattr(cli_private_site, "time", clock)

    while_it_waits(work_off)
    found = run.invoke(app, [*words(2), "--who", "--json"])
    assert found.exit_code == 0, found.output
    said = json.loads(found.stdout)
    assert (said["matches"], said["places"], said["entries"]) == (True, [[0, 1]], 3)
    other = run.invoke(app, words(77))
    assert other.exit_code == 1, other.output
    assert other.stdout.startswith("Nothing in the catalogue matches.")
    # The site took three questions to the keyholders, and knows what none of them was answered.
    assert list(PrivateQuestion.objects.values_list("state", "matches")) == [(QuestionState.ANSWERED, None)] * 3
    for wrong, why in (
        ({"PROVENANCE_API_KEY": "pvk_wrong"}, "The site refuses (401)"),
        ({"PROVENANCE_PASSPHRASE": "wrong"}, "does not open"),
    ):
        refused = run.invoke(app, words(2), env=wrong)
        assert (refused.exit_code, why in refused.stderr) == (2, True), refused.stderr
    # The address in a browser.
    refused = run.invoke(app, words(2, f"{live_server.url}/catalogues/{private.catalogue_id}/private/"))
    assert (refused.exit_code, "no address that a program asks at" in refused.stderr) == (2, True)
    refused = run.invoke(app, words(2, path.replace("localhost", "site.example")))
    assert (refused.exit_code, "begins with https://" in refused.stderr) == (2, True)

    # A worker is killed in the middle of a client's question, which is begun once: it ends, and the client is told.
    def killed() -> None:
        kill_a_worker(private, tmp_path / "log")
        work_off()

    while_it_waits(killed)
    refused = run.invoke(app, words(2))
    assert (refused.exit_code, "was stopped each time" in refused.stderr) == (2, True), refused.output
    # In the middle of the site's own question: the next worker asks it once more.
    check = ask(private, jpeg(1), cast.outsider, run=False)
    kill_a_worker(private, tmp_path / "log")
    question = PrivateQuestion.objects.get(check_row=check)
    assert (question.state, question.attempts) == (QuestionState.ASKED, 1)
    work_off()
    question.refresh_from_db()
    assert (question.state, question.attempts, question.matches) == (QuestionState.ANSWERED, 2, True)
