"""A client encrypts on its own machine, the site relays, and the client alone reads the answer."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from provenance.hashing.hasher import HASHERS
from provenance.private_lookup import frames
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.client import Asking, Client, Query
from provenance.private_lookup.engine import Engine
from provenance.private_lookup.identity import Identity
from provenance.private_lookup.index import Answer
from provenance.private_lookup.joint_keys import read_keys
from provenance.private_lookup.registry import Registry
from tests.webapp.api.conftest import MakePartner, Partner, make_partner, partner, stranger, work_off
from tests.webapp.conftest import Cast
from tests.webapp.pictures import pixels_of, png
from tests.webapp.private.conftest import Keyholders, begin, fill
from webapp.catalogues.models import Catalogue
from webapp.private.models import PrivateCatalogue, PrivateQuestion

pytestmark = pytest.mark.django_db
__all__ = ["make_partner", "partner", "stranger"]


class Machine:
    """A client's own machine, with the kit that the site gives away."""

    def __init__(self, folder: Path, kit: bytes, name: str = "newsroom") -> None:
        zipfile.ZipFile(io.BytesIO(kit)).extractall(folder)
        self.agreement = Agreement.from_json((folder / "agreement.json").read_bytes())
        self.identity = Identity.new(name)
        self.engine = Engine(self.agreement.scheme, 2, self.agreement.digest)
        self.client = Client(self.identity, self.agreement, read_keys(folder / "keys", self.agreement), self.engine)
        self.manifest = Registry(folder / "catalogue", self.agreement).manifest

    def encrypt(self, seed: int) -> Query:
        (fingerprint,) = HASHERS[self.agreement.algorithm].hash([pixels_of(seed)])
        return self.client.encrypt(fingerprint.code)

    def sign(self, query: Query, policy: Policy = Policy.BIT) -> Asking:
        return self.client.prepare(query, policy, self.manifest)

    def read(self, asking: Asking, data: bytes) -> Answer:
        _head, answers = frames.read(io.BytesIO(data)) or ({}, [])
        return self.client.read(asking, self.manifest, answers, 0.0)


@pytest.fixture
def private(cast: Cast, catalogue: Catalogue, place: Keyholders) -> PrivateCatalogue:
    made = begin(cast, catalogue)
    fill(cast, made, {f"{seed}.png": png(seed) for seed in (1, 2, 3)})
    return made


@pytest.fixture
def path(private: PrivateCatalogue) -> str:
    return f"/private-catalogues/{private.catalogue_id}"


@pytest.fixture
def machine(
    cast: Cast, path: str, private: PrivateCatalogue, stranger: Partner, tmp_path: Path,
    django_capture_on_commit_callbacks: Any,
) -> Any:
    """The machine of a client whom the holder admitted."""
    made = Machine(tmp_path, stranger.get(f"{path}/kit").content)
    identity = json.dumps(made.identity.public.to_dict())
    with django_capture_on_commit_callbacks(execute=True):
        cast.client("owner").post(reverse("private:clients", args=[private.catalogue_id]), {"identity": identity})
    yield made
    made.engine.close()


def test_it_works(machine: Machine, path: str, stranger: Partner, partner: Partner) -> None:
    (row,) = stranger.get("/private-catalogues").json()["results"]
    assert row == stranger.get(path).json()
    assert (row["entries"], row["policies"], row["questions_left"]) == (3, ["bit", "who"], 20)
    query = machine.encrypt(2)
    asking = machine.sign(query)
    begun = stranger.post(f"{path}/questions", asking.question)
    assert (begun.status_code, begun.json()["state"]) == (202, "queued")
    links = begun.json()["links"]
    waiting = stranger.get(links["answer"])
    assert (waiting.status_code, int(waiting["Retry-After"]) > 0) == (409, True)
    work_off()
    done = stranger.get(begun["Location"]).json()
    assert (done["state"], done["entries"], done["error"]) == ("succeeded", 3, None)
    assert done["seconds"] > 0
    answer = stranger.get(links["answer"]).content
    assert machine.read(asking, answer).matches
    # Whoever else has the bytes cannot open them, and the site did not learn what they say.
    assert PrivateQuestion.objects.get().matches is None
    # Then which entry, of the same query.
    which = machine.sign(query, Policy.WHO)
    begun = stranger.post(f"{path}/questions", which.question)
    work_off()
    assert machine.read(which, stranger.get(begun.json()["links"]["answer"]).content).places == ((0, 1),)
    other = machine.sign(machine.encrypt(77))
    begun = stranger.post(f"{path}/questions", other.question)
    work_off()
    assert not machine.read(other, stranger.get(begun.json()["links"]["answer"]).content).matches
    assert stranger.get(path).json()["questions_left"] == 17
    # It is that organisation's question, and nobody else's.
    assert partner.get(begun["Location"]).status_code == 404
    assert stranger.post(f"{begun['Location']}/cancel").status_code == 409


def test_questions_that_will_not_do_are_refused(
    machine: Machine, path: str, stranger: Partner, cast: Cast, private: PrivateCatalogue, settings: Any
) -> None:
    def post(data: bytes) -> tuple[int, str]:
        done = stranger.post(f"{path}/questions", data)
        return done.status_code, done.json().get("detail", "")

    query = machine.encrypt(1)
    good = machine.sign(query).question
    middle = len(good) // 2
    assert post(good[:-1])[0] == 400
    assert post(b"")[0] == 400
    assert post(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :])[0] == 400
    assert post(bytes(8 * 1024**2))[0] == 413
    unknown = Client(Identity.new("newsroom"), machine.agreement, machine.client._keys, machine.engine)
    assert post(unknown.prepare(query, Policy.BIT, machine.manifest).question) == (
        400, "A message's signature is wrong.",
    )
    foreign = Client(Identity.new("nobody"), machine.agreement, machine.client._keys, machine.engine)
    assert post(foreign.prepare(query, Policy.BIT, machine.manifest).question)[0] == 400
    assert not PrivateQuestion.objects.exists()

    assert post(good)[0] == 202
    assert post(good) == (409, "This question was asked before. Sign it anew.")
    # What only keyholders can tell ends the question with their reason: 'who' before 'bit' was answered.
    early = stranger.post(f"{path}/questions", machine.sign(machine.encrypt(3), Policy.WHO).question)
    work_off()
    ended = stranger.get(early["Location"]).json()
    assert (ended["state"], "only after 'bit'" in ended["error"]["message"]) == ("failed", True)
    assert stranger.get(ended["links"]["answer"]).status_code == 410

    settings.PRIVATE_QUESTIONS_PER_DAY = 2
    refused = stranger.post(f"{path}/questions", machine.sign(query).question)
    assert refused.status_code == 429
    assert 86_000 < int(refused["Retry-After"]) <= 86_400

    settings.PRIVATE_QUESTIONS_PER_DAY = 20
    fill(cast, private, {"4.png": png(4)})
    assert "about an earlier content" in post(machine.sign(query).question)[1]
    client = private.clients.get()
    cast.client("owner").post(reverse("private:client-remove", args=[private.catalogue_id, client.pk]))
    assert post(machine.sign(query).question)[0] == 400


def test_a_check_asks_through_the_api(
    private: PrivateCatalogue, stranger: Partner, make_partner: MakePartner
) -> None:
    from tests.webapp.api.conftest import picture

    sent = {"file": picture(2), "private_catalogues": [str(private.catalogue_id)]}
    begun = stranger.post("/checks", sent)
    assert begun.status_code == 202
    work_off()
    done = stranger.get(begun["Location"]).json()
    assert done["verdict"]["code"] == "private_match"
    assert any(item["kind"] == "private" for item in done["evidence"])
    wrong = stranger.post("/checks", {"file": picture(2), "private_catalogues": ["x"]})
    assert wrong.status_code == 400
