"""Signed messages, sealed boxes, secrets at rest and the journal: what is altered is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from provenance.private_lookup import frames
from provenance.private_lookup.errors import BadInput, WrongPassphrase
from provenance.private_lookup.identity import Identity, PublicIdentity, Vault, read_signed, seal, sign, unseal
from provenance.private_lookup.journal import Journal, read_journal

ANN, BOB = Identity.new("ann"), Identity.new("bob")
KNOWN = {"ann": ANN.public, "bob": BOB.public}


def test_a_message_is_read_as_it_was_signed() -> None:
    data = sign(ANN, "greeting", "about", {"n": 1, "text": "Zürich"}, (b"part", b""))
    message = read_signed(data, "greeting", "about", KNOWN)
    assert (message.sender, message.fields, message.parts) == ("ann", {"n": 1, "text": "Zürich"}, (b"part", b""))
    assert message.id == read_signed(data, "greeting", "about", KNOWN).id


def test_any_altered_byte_is_noticed() -> None:
    data = sign(ANN, "greeting", "about", {"n": 1}, (b"part",))
    for place in range(len(data)):
        altered = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(BadInput):
            read_signed(altered, "greeting", "about", KNOWN)
    for size in range(len(data)):
        with pytest.raises(BadInput):
            read_signed(data[:size], "greeting", "about", KNOWN)


def test_a_message_is_taken_for_nothing_else() -> None:
    data = sign(ANN, "greeting", "about")
    for kind, about, known in (
        ("threat", "about", KNOWN),
        ("greeting", "other", KNOWN),
        ("greeting", "about", {"bob": BOB.public}),
        ("greeting", "about", {"ann": BOB.public}),
    ):
        with pytest.raises(BadInput):
            read_signed(data, kind, about, known)
    head, _parts = frames.read(__import__("io").BytesIO(data)) or ({}, [])
    for wrong in ({**head, "signature": 7}, {**head, "fields": {"n": 1}}, {"signature": head["signature"]}, {}):
        with pytest.raises(BadInput):
            read_signed(frames.pack(wrong), "greeting", "about", KNOWN)


def test_a_box_opens_for_its_reader_alone() -> None:
    box = seal(ANN.public.sealing, b"secret", b"about")
    assert b"secret" not in box
    assert unseal(ANN.sealing, box, b"about") == b"secret"
    for key, data, about in (
        (BOB.sealing, box, b"about"),
        (ANN.sealing, box, b"other"),
        (ANN.sealing, box[:-1], b"about"),
        (ANN.sealing, b"", b"about"),
        (ANN.sealing, bytes(len(box)), b"about"),
    ):
        with pytest.raises(BadInput):
            unseal(key, data, about)


def test_no_box_is_sealed_for_what_is_no_key() -> None:
    for reader in ("00" * 32, "01" + "00" * 31, "00" * 31):
        with pytest.raises(BadInput, match="no key of anybody's"):
            seal(reader, b"data", b"about")


def test_a_vault_needs_its_passphrase(tmp_path: Path) -> None:
    Vault(tmp_path / "vault", "right").keep("share", b"secret" * 100)
    assert Vault(tmp_path / "vault", "right")["share"] == b"secret" * 100
    with pytest.raises(WrongPassphrase):
        Vault(tmp_path / "vault", "wrong")
    assert not any(b"secret" in file.read_bytes() for file in (tmp_path / "vault").iterdir())
    assert {file.stat().st_mode & 0o077 for file in (tmp_path / "vault").iterdir()} == {0}
    # One secret is not taken for another.
    (tmp_path / "vault" / "share.sealed").rename(tmp_path / "vault" / "other.sealed")
    with pytest.raises(WrongPassphrase):
        Vault(tmp_path / "vault", "right")["other"]


def test_identities_survive_their_file() -> None:
    assert Identity.from_bytes(ANN.to_bytes()).public == ANN.public
    assert PublicIdentity.from_dict(ANN.public.to_dict()) == ANN.public
    for wrong in ({}, {**ANN.public.to_dict(), "signing": "00"}, {**ANN.public.to_dict(), "name": "../x"}):
        with pytest.raises(BadInput, match="no identity"):
            PublicIdentity.from_dict(wrong)


def test_a_journal_is_proved_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, ANN.signing)
    for number in range(5):
        journal.append("event", n=number)
    again = Journal(path, ANN.signing)
    assert [(entry.number, entry.fields) for entry in again.entries] == [(n, {"n": n}) for n in range(5)]
    assert again.last_hash == journal.last_hash
    lines = path.read_bytes().splitlines(keepends=True)
    changed = json.loads(lines[2])
    changed["fields"]["n"] = 7
    for wrong in (
        [*lines[:2], *lines[3:]],
        [lines[1], lines[0], *lines[2:]],
        [*lines, lines[-1]],
        [*lines[:2], json.dumps(changed).encode() + b"\n", *lines[3:]],
    ):
        path.write_bytes(b"".join(wrong))
        with pytest.raises(BadInput, match="altered"):
            read_journal(path, ANN.public.signing)
    path.write_bytes(b"".join(lines))
    with pytest.raises(BadInput, match="altered: line 1"):
        read_journal(path, BOB.public.signing)


def test_a_torn_last_line_is_no_entry(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, ANN.signing)
    journal.append("whole")
    whole = journal.last_hash
    journal.append("torn")
    path.write_bytes(path.read_bytes()[:-10])
    again = Journal(path, ANN.signing)
    assert [entry.event for entry in again.entries] == ["whole"]
    assert again.last_hash == whole
    again.append("next")
    assert len(read_journal(path, ANN.public.signing)[0]) == 2
