"""What a shareholder refuses before it computes anything: malformed questions, too many, and changed shares."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.errors import BadInput, KeyholderUnreachable, Refused, SchemeError, WrongPassphrase
from provenance.private_lookup.identity import Identity, read_signed, sign
from provenance.private_lookup.journal import read_journal
from provenance.private_lookup.shares.catalogue import Catalogue
from provenance.private_lookup.shares.computation import Link
from provenance.private_lookup.shares.question import Query, read_question, write_question
from provenance.private_lookup.shares.shareholder import Shareholder
from tests.provenance.private_lookup.club import random_code
from tests.provenance.private_lookup.shares.house import NAMES, PASSPHRASE, House, make_house


class Alone:
    """Neighbours that are not there; remembers what was begun and what was refused."""

    def __init__(self) -> None:
        self.joined: list[str] = []
        self.refused: list[str] = []

    def join(self, session: str) -> AbstractContextManager[Link]:
        self.joined.append(session)
        raise KeyholderUnreachable("nobody is there")

    def refuse(self, session: str) -> None:
        self.refused.append(session)



@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> House:
    codes = [random_code(number) for number in range(5)]
    return make_house(tmp_path_factory.mktemp("made") / "house", codes, daily_answers=2)


@pytest.fixture
def mine(made: House, tmp_path: Path) -> House:
    """A house of which nothing runs; five entries, two questions a day."""
    folder = shutil.copytree(made.folder, tmp_path / "house")
    return replace(made, folder=folder, catalogue=Catalogue(folder / "catalogue", made.agreement))


@pytest.fixture
def server(mine: House) -> Iterator[Shareholder]:
    """The first server, as if the state had been admitted."""
    with Shareholder(mine.folder / "archive", PASSPHRASE, shares=mine.catalogue.folder / "archive") as opened:
        manifest = mine.catalogue.manifest
        for block in manifest.blocks:
            opened._vault.keep(f"numbers-{block.id}", bytes(4 * 96 * block.used))
        opened.journal.append(
            "admitted", manifest=manifest.id, catalogue=manifest.catalogue, sequence=manifest.sequence
        )
        assert "5 entries" in opened.load()
        yield opened


def question(house: House, query: Query | None = None, policy: Policy = Policy.BIT, **changed: str) -> bytes:
    query = query or Query.of(random_code(1), house.agreement)
    manifest = changed.get("manifest", house.catalogue.manifest.id)
    reply = X25519PrivateKey.generate()
    return write_question(house.client, house.agreement, query, policy=policy, manifest=manifest, reply=reply)[0]


def test_a_question_is_counted_before_anything_is_computed_for_it(mine: House, server: Shareholder) -> None:
    neighbours = Alone()
    first = question(mine)
    with pytest.raises(KeyholderUnreachable):
        server.answer(first, neighbours)
    with pytest.raises(Refused, match="asked before"):
        server.answer(first, neighbours)
    with pytest.raises(KeyholderUnreachable):
        server.answer(question(mine), neighbours)
    with pytest.raises(Refused, match="all that it may"):
        server.answer(question(mine), neighbours)
    assert len(neighbours.joined) == 2
    # Those who would wait for us are told.
    assert len(neighbours.refused) == 2
    events = [entry.event for entry in read_journal(server.folder / "journal.jsonl", server.identity.public.signing)[0]]
    assert events == ["agreed", "client", "admitted", "asked", "asked"]


def test_who_is_answered_only_after_bit(mine: House, server: Shareholder) -> None:
    query = Query.of(random_code(1), mine.agreement)
    with pytest.raises(Refused, match="only after 'bit'"):
        server.answer(question(mine, query, Policy.WHO), Alone())
    # One that was begun and never answered is not enough.
    with pytest.raises(KeyholderUnreachable):
        server.answer(question(mine, query), Alone())
    with pytest.raises(Refused, match="only after 'bit'"):
        server.answer(question(mine, query, Policy.WHO), Alone())


def test_queries_whose_parts_do_not_fit_together_are_refused(mine: House, server: Shareholder) -> None:
    """A component of another length, or other bits than the client is bound to for the server that shares it."""
    agreement = mine.agreement
    honest = Query.of(random_code(1), agreement)

    class Lying(Query):
        @property
        def commitments(self) -> tuple[str, ...]:
            return honest.commitments

    flipped = honest.components[1][:-1] + bytes([honest.components[1][-1] ^ 1])
    for query in (
        Lying((honest.components[0], flipped, honest.components[2])),
        Lying((honest.components[1], honest.components[0], honest.components[2])),
        Query((honest.components[0][:-1], *honest.components[1:])),
        Query((honest.components[0] + b"x", *honest.components[1:])),
        Query((b"", b"", b"")),
    ):
        with pytest.raises(BadInput, match="not those that its client is bound to"):
            server.answer(question(mine, query), Alone())
    # The lie is found by the server that it was told to; the others have what the client is bound to.
    lying = question(mine, Lying((honest.components[0], honest.components[1], flipped)))
    assert read_question(lying, agreement, server.clients(), server.identity).client == "client"


def test_a_question_that_another_client_copies_does_not_open(mine: House, server: Shareholder) -> None:
    """Sealed parts and commitments of one client, signed by another who wants the answer."""
    other = Identity.new("other")
    server.admit_client(other.public)
    kind, digest = "question to servers of shares", mine.agreement.digest
    seen = read_signed(question(mine), kind, digest, server.clients())
    copied = sign(other, kind, digest, {**seen.fields, "reply": "11" * 32}, seen.parts)
    with pytest.raises(BadInput, match="sealed box"):
        server.answer(copied, Alone())


def test_what_is_no_question_of_an_admitted_client_is_refused(mine: House, server: Shareholder) -> None:
    good = question(mine)
    for data in (b"", good[:-1], good[:200], good.replace(b"bit", b"who"), good[:-5] + bytes(5)):
        with pytest.raises(BadInput):
            server.answer(data, Alone())
    with pytest.raises(Refused, match="present, checked state"):
        server.answer(question(mine, manifest="0" * 64), Alone())
    stranger = replace(mine, client=Identity.new("client"))
    with pytest.raises(BadInput, match="signature is wrong"):
        server.answer(question(stranger), Alone())
    kind = "question to servers of shares"
    fields = {"policy": "bit", "manifest": "0" * 64, "reply": "0" * 64, "commitments": ["0" * 64] * 3}
    for name, value in (("policy", "all"), ("commitments", ["0" * 64]), ("commitments", 5), ("reply", "xyz")):
        signed = sign(mine.client, kind, mine.agreement.digest, {**fields, name: value}, (b"", b"", b""))
        with pytest.raises(BadInput, match="missing or has the wrong form"):
            server.answer(signed, Alone())
    with pytest.raises(BadInput, match="missing or has the wrong form"):
        server.answer(sign(mine.client, kind, mine.agreement.digest, fields, (b"", b"")), Alone())
    with pytest.raises(BadInput, match="sealed box"):
        server.answer(sign(mine.client, kind, mine.agreement.digest, fields, (b"", b"", b"")), Alone())


def test_a_server_with_changed_shares_is_refused(mine: House) -> None:
    """Changed on its disk, given another server's, or made by the holder other than signed."""
    shares = mine.catalogue.folder / "museum"
    (block,) = mine.catalogue.manifest.blocks
    path = shares / f"{block.id}.shares"
    whole = path.read_bytes()
    with Shareholder(mine.folder / "museum", PASSPHRASE, shares=shares) as server:
        assert "has to be offered" in server.load()
        with pytest.raises(Refused, match="was not offered any state"):
            server.state()
        neighbours = Alone()
        for changed in (
            whole[:-1],
            whole[:100] + bytes([whole[100] ^ 1]) + whole[101:],
            (mine.catalogue.folder / "archive" / path.name).read_bytes(),
            b"",
        ):
            path.write_bytes(changed)
            with pytest.raises(BadInput, match="sealed box"):
                server.admit(mine.catalogue.signed, "1", neighbours)
        path.unlink()
        with pytest.raises(BadInput, match="cannot be read"):
            server.admit(mine.catalogue.signed, "1", neighbours)
        assert not neighbours.joined
        assert len(neighbours.refused) == 5
        path.write_bytes(whole)
        with pytest.raises(KeyholderUnreachable):
            server.admit(mine.catalogue.signed, "1", neighbours)


def test_shares_that_are_not_those_of_the_signed_roots_are_refused(
    mine: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealed by somebody who knows the server's public key, as anybody does."""
    other = Catalogue.create(mine.folder / "other", mine.agreement, mine.holder, "pictures")
    block = mine.catalogue.manifest.blocks[0]
    monkeypatch.setattr("provenance.private_lookup.shares.catalogue._about", lambda *_arguments: b"same")
    other.append([(f"e{number}", random_code(50 + number).bits) for number in range(5)], mine.holder)
    (forged,) = other.manifest.blocks
    shares = mine.catalogue.folder / "library"
    (shares / f"{block.id}.shares").write_bytes((other.folder / "library" / f"{forged.id}.shares").read_bytes())
    with (
        Shareholder(mine.folder / "library", PASSPHRASE, shares=shares) as server,
        pytest.raises(BadInput, match="not those that the holder signed"),
    ):
        server.admit(mine.catalogue.signed, "1", Alone())


def test_a_running_state_is_checked_again_when_it_is_loaded(mine: House, server: Shareholder) -> None:
    (block,) = mine.catalogue.manifest.blocks
    path = mine.catalogue.folder / "archive" / f"{block.id}.shares"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(BadInput, match="sealed box"):
        server.load()
    sealed = mine.folder / "archive" / "vault" / f"numbers-{block.id}.sealed"
    sealed.write_bytes(sealed.read_bytes()[:-1] + b"x")
    with pytest.raises(WrongPassphrase, match="altered files"):
        server._read_state(mine.catalogue.manifest, b"")


def test_states_only_become_newer(mine: House, server: Shareholder) -> None:
    old = mine.catalogue.signed
    mine.catalogue.delete(["e1"], mine.holder)
    with pytest.raises(Refused, match="was not given state 1"):
        server.admit(old, "1", Alone())
    newer = mine.catalogue.signed
    server.journal.append("admitted", manifest="0" * 64, catalogue="pictures", sequence=2)
    with pytest.raises(Refused, match="State 2 is offered after state 2"):
        server.admit(newer, "1", Alone())
    with pytest.raises(BadInput, match=r"damaged|signature"):
        server.admit(newer[:-1] + b"x", "1", Alone())


def test_a_server_holds_one_catalogue(mine: House, server: Shareholder) -> None:
    server.journal.append("admitted", manifest="0" * 64, catalogue="others", sequence=0)
    mine.catalogue.delete(["e1"], mine.holder)
    with pytest.raises(Refused, match="holds shares of others"):
        server.admit(mine.catalogue.signed, "1", Alone())


def test_agreements_about_shares_name_three_servers(mine: House, tmp_path: Path) -> None:
    agreement = mine.agreement
    assert Agreement.from_json(agreement.to_json()) == agreement
    assert (agreement.mode, agreement.code_length) == ("shares", 96)
    with pytest.raises(SchemeError, match="3 servers"):
        replace(agreement, parties=agreement.parties[:2])
    with pytest.raises(SchemeError, match="nothing encrypted"):
        agreement.circuit(Policy.BIT)
    Shareholder.create(tmp_path / "new", "new", PASSPHRASE)
    with Shareholder(tmp_path / "new", PASSPHRASE) as server:
        with pytest.raises(Refused, match="no party"):
            server.agree(agreement)
        encrypted = replace(agreement, scheme_id="bgv-v1-96", parties=(*agreement.parties, server.identity.public))
        with pytest.raises(Refused, match="not about shares"):
            server.agree(encrypted)


def test_shares_alone_tell_nothing_and_lie_nowhere_in_clear(mine: House) -> None:
    """No file of anybody has a code, and neither have two servers' files without their keys."""
    codes = [random_code(number).bits for number in range(5)]
    files = [path for path in mine.folder.rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        data = path.read_bytes()
        assert not any(code in data or code.hex().encode() in data for code in codes)
    assert {path.name for path in (mine.catalogue.folder / NAMES[0]).iterdir()} == {
        "manifest",
        f"{mine.catalogue.manifest.blocks[0].id}.shares",
    }
