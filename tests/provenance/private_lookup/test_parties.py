"""Keyholders: joint keys in rounds, answers to what was agreed, refusals of everything else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from provenance.private_lookup import parties
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.client import local_evaluator, offer
from provenance.private_lookup.errors import (
    BadInput,
    Forgotten,
    PrivateLookupError,
    Refused,
    SchemeError,
    WrongPassphrase,
)
from provenance.private_lookup.identity import Identity, Vault, sign
from provenance.private_lookup.joint_keys import keys_digest
from provenance.private_lookup.journal import read_journal
from provenance.private_lookup.parties import Keyholder, _Session
from provenance.private_lookup.question import joint_seed, read_question, write_question
from provenance.private_lookup.registry import Registry
from provenance.private_lookup.scheme import GROUPED
from tests.provenance.private_lookup.club import ALGORITHM, PASSPHRASES, TAU, Club, make_agreement, random_code

REPLY = "11" * 32


@pytest.fixture(scope="module")
def registry(club: Club, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return club.registry(tmp_path_factory.mktemp("registry") / "of-test_parties", [random_code(n) for n in range(8)])


@pytest.fixture(scope="module")
def keyholders(club: Club, registry: Registry) -> Iterator[list[Keyholder]]:
    with club.keyholder("archive", registry) as one, club.keyholder("museum", registry) as other:
        offer(registry, [one, other])
        yield [one, other]


@pytest.fixture(scope="module")
def query(club: Club) -> bytes:
    """One query for all tests: every engine takes it apart once."""
    return club.asker().encrypt(random_code(3)).ciphertext(GROUPED)


@dataclass
class Asked:
    """A question that went as far as the checks."""

    question: bytes
    commits: list[bytes]
    reveals: list[bytes]
    checks: list[bytes]
    seed: bytes
    outputs: list[bytes]


def question_of(club: Club, registry: Registry, query: bytes, policy: Policy = Policy.BIT) -> bytes:
    return write_question(
        club.client, club.agreement, policy=policy, manifest=registry.manifest.id, reply=REPLY, query=query
    )


def ask(club: Club, registry: Registry, keyholders: Sequence[Keyholder], query: bytes) -> Asked:
    question = question_of(club, registry, query)
    clients = {club.client.name: club.client.public}
    asked = read_question(question, club.agreement, clients).id
    commits = [keyholder.commit(question) for keyholder in keyholders]
    reveals = [keyholder.reveal(commits) for keyholder in keyholders]
    nonces = [keyholder._sessions[asked].nonce for keyholder in keyholders]
    seed = joint_seed(asked, nonces)
    checks = [keyholder.check(reveals) for keyholder in keyholders]
    outputs = local_evaluator(registry, club.keys, club.engine, clients)(question, seed)
    return Asked(question, commits, reveals, checks, seed, list(outputs))


def events(keyholder: Keyholder) -> list[str]:
    return [entry.event for entry in keyholder.journal.entries]


def test_joint_keys_are_made_by_separate_processes_in_separate_folders(club: Club) -> None:
    # Each waits for the other alone; for what, depends on who is faster.
    for name, other in (("archive", "museum"), ("museum", "archive")):
        assert club.waited_for[name]
        assert all(missing.endswith(f" of {other}") for missing in club.waited_for[name])
    assert len({keys_digest(club.folder / name / "keys") for name in PASSPHRASES}) == 1
    for name in PASSPHRASES:
        assert not (club.folder / name / "outbox").exists()


def test_parties_that_do_not_keep_to_the_rounds_are_refused(engine_python: Path, tmp_path: Path) -> None:
    agreement = make_agreement(tmp_path, Identity.new("holder"))
    exchange = tmp_path / "exchange"
    exchange.mkdir()
    with (
        Keyholder(tmp_path / "archive", PASSPHRASES["archive"], python=engine_python) as one,
        Keyholder(tmp_path / "museum", PASSPHRASES["museum"], python=engine_python) as other,
    ):
        assert one.generate(exchange) == "commit of museum"
        assert other.generate(exchange) == "reveal of archive"
        seed, commit = exchange / "archive.seed.message", exchange / "museum.commit.message"
        sent = commit.read_bytes()
        # What was lost is sent again as it was.
        commit.unlink()
        other.generate(exchange)
        assert commit.read_bytes() == sent
        # A share that was not committed to, such as one that cancels the others.
        forged = sign(other.identity, "commit", agreement.digest, parts=(bytes(32),))
        commit.write_bytes(forged)
        with pytest.raises(Refused, match="museum revealed another share"):
            one.generate(exchange)
        # Nor is it committed to afterwards.
        commit.write_bytes(sent)
        with pytest.raises(Refused, match="museum sent a second commit"):
            one.generate(exchange)
        # Nobody signs for another.
        commit.write_bytes(sign(one.identity, "commit", agreement.digest, parts=(bytes(32),)))
        with pytest.raises(BadInput):
            one.generate(exchange)
        # With a second seed, the same secret would be used with a polynomial that somebody chose later.
        seed.write_bytes(sign(one.identity, "seed", agreement.digest, parts=(b"another",)))
        with pytest.raises(Refused, match="second seed"):
            other.generate(exchange)


def test_secrets_lie_nowhere_in_clear(club: Club, keyholders: list[Keyholder]) -> None:
    for keyholder in keyholders:
        secret = keyholder._vault["share-0" if keyholder is keyholders[0] else "share-1"]
        middle = secret[len(secret) // 2 :][:64]
        for file in club.folder.rglob("*"):
            assert not file.is_file() or middle not in file.read_bytes()
        with pytest.raises(WrongPassphrase):
            Vault(keyholder.folder / "vault", "wrong")


def test_the_shares_of_one_ciphertext_are_always_the_same(
    club: Club, registry: Registry, keyholders: list[Keyholder], query: bytes
) -> None:
    asked = ask(club, registry, keyholders, query)
    assert [keyholder.check(asked.reveals) for keyholder in keyholders] == asked.checks
    one = keyholders[0]
    one.answer(asked.checks, asked.outputs)
    file = one.folder / "released" / f"{hashlib.sha256(asked.outputs[0]).hexdigest()}.bit.0"
    share = file.read_bytes()
    one.answer(asked.checks, asked.outputs)
    assert file.read_bytes() == share
    with pytest.raises(Refused, match="another purpose"):
        one._share(asked.outputs[0], "check", 0)


def test_an_evaluation_that_is_not_what_was_agreed_gets_no_share(
    club: Club, registry: Registry, keyholders: list[Keyholder], query: bytes
) -> None:
    """Such as a ciphertext of the catalogue, brought into the form of an answer: that would read a bit of an entry."""
    one, other = keyholders
    asked = ask(club, registry, keyholders, query)
    clients = {club.client.name: club.client.public}
    foreign = local_evaluator(registry, club.keys, club.engine, clients)(asked.question, b"seed of my own")
    with pytest.raises(Refused, match="not what was agreed"):
        one.answer(asked.checks, foreign)
    assert events(one)[-1] == "refused"
    # The question is dead here; and the other was never asked for its share.
    with pytest.raises(Refused, match="Begin it anew"):
        one.answer(asked.checks, asked.outputs)
    with pytest.raises(Refused, match="not of every block"):
        other.answer(asked.checks, [])


def test_a_lie_that_passes_is_one_decryption_and_no_more(
    club: Club, registry: Registry, keyholders: list[Keyholder], query: bytes
) -> None:
    """Where only some blocks are computed again, a false one may pass; after it, no other does."""
    one = keyholders[0]
    asked = ask(club, registry, keyholders, query)
    request = read_question(asked.question, club.agreement, {"client": club.client.public}).id
    evaluation = one._sessions[request].evaluation
    assert evaluation is not None
    # As if this block had not been chosen.
    evaluation.result().clear()
    one.answer(asked.checks, asked.outputs)
    foreign = local_evaluator(registry, club.keys, club.engine, {"client": club.client.public})(asked.question, b"mine")
    with pytest.raises(Refused, match="answered already"):
        one.answer(asked.checks, foreign)


def test_of_who_everything_is_computed_again(
    club: Club, registry: Registry, keyholders: list[Keyholder], query: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = keyholders[0]
    monkeypatch.setattr(one, "_chosen", lambda _count: [])
    for policy, computed in ((Policy.BIT, 0), (Policy.WHO, len(registry.manifest.blocks))):
        question = read_question(
            question_of(club, registry, query, policy), club.agreement, {"client": club.client.public}
        )
        session = _Session(question.id, question, registry.manifest.blocks, b"", {}, seed=bytes(32))
        assert len(one._evaluate(session, question)) == computed


def test_offers_that_do_not_pass_are_counted_where_their_seed_would_be_known(
    club: Club, keyholders: list[Keyholder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = club.registry(tmp_path / "often", [random_code(1)])
    with pytest.raises(Refused, match="Only the catalogue's holder"):
        keyholders[0].commit(other.signed, offers=False)
    before = [keyholder._offers()[1] for keyholder in keyholders]
    monkeypatch.setattr(parties, "_MOST_FAILED_OFFERS", max(before) + 1)
    for keyholder in keyholders:
        monkeypatch.setattr(keyholder, "_registry_folder", other.folder)
    # A catalogue that comes in pieces: each brings entries to check, and passes.
    for number in range(2, 5):
        offer(other, keyholders)
        other.append([(f"more{number}", random_code(number).bits)], club.holder, club.keys, club.engine)
    assert [keyholder._offers()[1] for keyholder in keyholders] == before
    monkeypatch.setattr(parties, "_MOST_FAILED_OFFERS", before[0] + 1)
    offered = events(keyholders[0]).count("offered")
    commits: list[bytes] = []
    for _try in range(3):
        commits = [keyholder.commit(other.signed) for keyholder in keyholders]
    keyholders[0].reveal(commits)
    keyholders[0].reveal(commits)
    assert events(keyholders[0]).count("offered") == offered + 1
    commits = [keyholder.commit(other.signed) for keyholder in keyholders]
    with pytest.raises(Refused, match="did not pass in 24 hours, which is all that may be"):
        keyholders[0].reveal(commits)


def test_offers_that_pass_leave_little_and_are_counted_too(
    club: Club, keyholders: list[Keyholder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = club.registry(tmp_path / "little", [random_code(n) for n in range(9)])
    for keyholder in keyholders:
        monkeypatch.setattr(keyholder, "_registry_folder", other.folder)
    one = keyholders[0]

    def shares() -> list[str]:
        return sorted(path.name for path in one._released.glob("*.check.*"))

    before, (every, _failed) = shares(), one._offers()
    offer(other, keyholders)
    first = one.journal.entries[-1].fields["blocks"]
    assert len(first) == 2
    other.append([("more", random_code(10).bits)], club.holder, club.keys, club.engine)
    commits = [keyholder.commit(other.signed) for keyholder in keyholders]
    reveals = [keyholder.reveal(commits) for keyholder in keyholders]
    checks = [keyholder.check(reveals) for keyholder in keyholders]
    # Of the one block that is new.
    assert len(shares()) == len(before) + 1
    assert [keyholder.admit(checks) for keyholder in keyholders]
    assert shares() == before
    assert one.journal.entries[-1].fields["blocks"] == [[other.manifest.blocks[1].sha256, 2]]
    with pytest.raises(Forgotten):
        one.admit(checks)
    # The first block is known still.
    other.delete(["more"], club.holder)
    offer(other, keyholders)
    assert one.journal.entries[-1].fields["blocks"] == []
    assert one._offers()[0] == every + 3
    monkeypatch.setattr(parties, "_MOST_OFFERS", every + 3)
    with pytest.raises(Refused, match="states were offered in 24 hours, which is all that may be"):
        offer(other, keyholders)


def test_a_spot_check_is_of_as_many_blocks_as_wished(
    keyholders: list[Keyholder], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = keyholders[0]
    assert one._chosen(3) == [0, 1, 2]
    with pytest.raises(ValueError, match="at least one block"):
        Keyholder(one.folder, PASSPHRASES["archive"], recomputed=0)
    monkeypatch.setattr(one, "_recomputed", 2)
    assert {tuple(one._chosen(3)) for _try in range(100)} == {(0, 1), (0, 2), (1, 2)}


def test_a_malformed_query_gets_no_answer(
    club: Club, registry: Registry, keyholders: list[Keyholder], query: bytes
) -> None:
    """A block as a query: it has the form of one, no bit but +1 and -1, and would ask about each entry another code."""
    block = registry.manifest.blocks[0]
    assert block.used == club.agreement.scheme.entries(GROUPED)
    columns = registry.file(block).path.read_bytes()[-len(query) :]
    question = question_of(club, registry, columns)
    commits = [keyholder.commit(question) for keyholder in keyholders]
    reveals = [keyholder.reveal(commits) for keyholder in keyholders]
    checks = [keyholder.check(reveals) for keyholder in keyholders]
    for keyholder in keyholders:
        with pytest.raises(Refused, match="malformed"):
            keyholder.answer(checks, [])
    assert keyholders[0].journal.entries[-1].fields["why"].startswith("the query is malformed")


def test_a_malformed_block_is_not_admitted(
    club: Club, keyholders: list[Keyholder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two blocks added have 2, 0 and -2 for bits: near to everything."""
    bad = club.registry(tmp_path / "bad", [random_code(1)])
    for keyholder in keyholders:
        monkeypatch.setattr(keyholder, "_registry_folder", bad.folder)
    base = bad.file(bad.manifest.blocks[0]), 0
    file, size = club.engine.encrypt_block(club.keys, random_code(2).bits, tmp_path / "twice", base, GROUPED)
    file.path.rename(bad.folder / f"{file.sha256}.block")
    fields = bad.manifest.fields() | {"sequence": 1000}
    fields["blocks"] = [{"sha256": file.sha256, "size": size, "used": 1, "deleted": []}]
    (bad.folder / "manifest").write_bytes(sign(club.holder, "manifest", club.agreement.digest, fields))
    with pytest.raises(Refused, match="block is malformed"):
        offer(Registry(bad.folder, club.agreement), keyholders)
    assert events(keyholders[0])[-1] == "refused"


def test_what_was_not_asked_as_agreed_is_refused(
    club: Club, registry: Registry, keyholders: list[Keyholder], query: bytes
) -> None:
    one, _other = keyholders
    stranger = Identity.new("stranger")
    unasked = club.asker().encrypt(random_code(3)).ciphertext(GROUPED)
    written: dict[str, Any] = {"policy": Policy.BIT, "manifest": registry.manifest.id, "reply": REPLY, "query": query}
    refused: list[tuple[bytes, str]] = [
        (write_question(stranger, club.agreement, **written), "no message of a known sender"),
        (write_question(club.client, club.agreement, **{**written, "manifest": "0" * 64}), "present"),
        (write_question(club.client, club.agreement, **{**written, "query": query[:-1]}), "refuses"),
        (write_question(club.client, club.agreement, **{**written, "reply": "00"}), "missing"),
        (
            write_question(club.client, club.agreement, **{**written, "policy": Policy.WHO, "query": unasked}),
            "after 'bit'",
        ),
        (b"", "missing"),
    ]
    for question, why in refused:
        with pytest.raises(PrivateLookupError, match=why):
            one.commit(question)
    question = question_of(club, registry, query)
    one.commit(question)
    with pytest.raises(Refused, match="asked before"):
        one.commit(question)


def test_steps_out_of_order_are_refused(
    club: Club, registry: Registry, keyholders: list[Keyholder], query: bytes
) -> None:
    one, _other = keyholders
    asked = ask(club, registry, keyholders, query)
    with pytest.raises(BadInput, match="every keyholder"):
        one.reveal(asked.commits[:1])
    with pytest.raises(BadInput, match="every keyholder"):
        one.reveal([*asked.commits, asked.commits[0]])
    with pytest.raises(BadInput):
        one.check(asked.commits)
    later = ask(club, registry, keyholders, query)
    with pytest.raises(BadInput, match="about one request"):
        one.check([asked.reveals[0], later.reveals[1]])
    other = keyholders[1].identity
    request = read_question(asked.question, club.agreement, {"client": club.client.public}).id
    another = sign(other, "reveal", club.agreement.digest, {"request": request, "nonce": "00" * 32})
    with pytest.raises(Refused, match="another nonce"):
        one.check([asked.reveals[0], another])


def test_a_client_has_a_budget(club: Club, registry: Registry, keyholders: list[Keyholder], query: bytes) -> None:
    """Every question that was begun counts, answered or not."""
    second = Identity.new("second")
    keyholders[0].admit_client(second.public)
    with pytest.raises(Refused, match="Another client"):
        keyholders[0].admit_client(Identity.new("second").public)
    # Under the digest of the keys that there are: a new agreement would need new ones.
    tight = replace(club.agreement, daily_answers=2)
    tight.__dict__["digest"] = club.agreement.digest
    own = club.asker().encrypt(random_code(3)).ciphertext(GROUPED)
    written: dict[str, Any] = {"policy": Policy.BIT, "manifest": registry.manifest.id, "reply": REPLY, "query": own}
    keyholders[0].commit(question_of(club, registry, query))
    with pytest.raises(Refused, match="Another client asked with this query"):
        keyholders[0].commit(write_question(second, club.agreement, **{**written, "query": query}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(keyholders[0]), "agreement", tight)
        for _question in range(2):
            keyholders[0].commit(write_question(second, tight, **written))
        with pytest.raises(Refused, match="2 questions in 24 hours"):
            keyholders[0].commit(write_question(second, tight, **written))


def test_the_journal_tells_what_was_done(
    club: Club, registry: Registry, keyholders: list[Keyholder], query: bytes
) -> None:
    asked = ask(club, registry, keyholders, query)
    for keyholder in keyholders:
        keyholder.answer(asked.checks, asked.outputs)
        assert events(keyholder)[:5] == ["agreed", "generated", "client", "offered", "admitted"]
        assert events(keyholder)[-2:] == ["asked", "released"]
        path = keyholder.folder / "journal.jsonl"
        entries, last = read_journal(path, keyholder.identity.public.signing)
        assert (len(entries), last) == (len(keyholder.journal.entries), keyholder.journal.last_hash)
        assert random_code(3).hex not in path.read_text()


def test_agreements_are_read_strictly(club: Club, keyholders: list[Keyholder]) -> None:
    data = club.agreement.to_json()
    assert Agreement.from_json(data) == club.agreement
    for wrong in (b"", b"{}", data + b" ", data.replace(b'"version":1', b'"version":2'), data[:-1], bytes(1 << 17)):
        with pytest.raises(BadInput):
            Agreement.from_json(wrong)
    with pytest.raises(SchemeError, match="0 to 32"):
        Agreement.from_json(data.replace(b'"tau":24', b'"tau":40'))
    members = club.agreement.parties
    for some in (members[:1], (members[0], members[0])):
        with pytest.raises(SchemeError, match="different names"):
            Agreement("bgv-v1-96", ALGORITHM, TAU, (Policy.BIT,), some, club.holder.public)
    only_bit = Agreement("bgv-v1-96", ALGORITHM, TAU, (Policy.BIT,), members, club.holder.public)
    with pytest.raises(Refused, match="was not agreed to"):
        only_bit.circuit(Policy.WHO)
    with pytest.raises(Refused, match="agreed to something else"):
        keyholders[0].agree(only_bit)
    with pytest.raises(Refused, match="already"):
        Keyholder.create(club.folder / "archive", "archive", "")


def test_a_folder_is_used_by_one_process_at_a_time(club: Club, keyholders: list[Keyholder]) -> None:
    with pytest.raises(Refused, match="Another process"):
        Keyholder(keyholders[0].folder, PASSPHRASES["archive"])
