"""A keyholder of the demonstration keeps one catalogue's engines at a time, however many catalogues are asked."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from provenance.private_lookup.client import local_evaluator, offer
from provenance.private_lookup.errors import Refused
from provenance.private_lookup.question import joint_seed, read_question
from provenance.private_lookup.registry import Registry
from tests.provenance.private_lookup.club import PASSPHRASES, Club, random_code
from tests.provenance.private_lookup.conftest import club, engine_python
from tests.provenance.private_lookup.held import HeldFile
from tests.provenance.private_lookup.test_parties import question_of
from webapp.embedded import keyholder
from webapp.embedded.keyholder import Attending
from webapp.private.meeting import Meeting

__all__ = ["club", "engine_python"]


@contextmanager
def attending(folder: Path, registry: Registry, python: Path, meeting: Meeting) -> Iterator[Attending]:
    with Attending(folder, PASSPHRASES["archive"], registry=registry.folder, python=python) as made:
        made.meeting = meeting
        yield made


def engines(of: Attending) -> list[int]:
    assert of._workers is not None
    return of._workers.process_ids


def test_it_works(club: Club, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = club.registry(tmp_path / "attended", [random_code(number) for number in range(9)])
    query = club.asker().encrypt(random_code(3)).ciphertext(registry.manifest.group)
    clients = {club.client.name: club.client.public}
    meeting = Meeting(tmp_path / "site", "0" * 32)
    meeting.open(registry.folder)
    with (
        club.keyholder("museum", registry) as museum,
        attending(club.folder / "archive", registry, club.python, meeting) as one,
    ):
        offer(registry, [one, museum])
        assert engines(one)
        one.rest()
        assert engines(one)
        monkeypatch.setattr(keyholder, "_REST_AFTER", 0.0)
        one.rest()
        assert engines(one) == []
        # What another catalogue's keyholder has: the same keys and, so that it can be asked, the same catalogue.
        shutil.copytree(one.folder, tmp_path / "other")
        question = question_of(club, registry, query)
        commits = [party.commit(question) for party in (one, museum)]
        reveals = [party.reveal(commits) for party in (one, museum)]
        checks = [museum.check(reveals)]
        asked = read_question(question, club.agreement, clients).id
        seed = joint_seed(asked, [party._sessions[asked].nonce for party in (one, museum)])
        with (
            attending(tmp_path / "other", registry, club.python, meeting) as other,
            ThreadPoolExecutor(1) as pool,
        ):
            with HeldFile(registry.file(registry.manifest.blocks[0]).path) as block:
                checks.insert(0, one.check(reveals))
                block.wait()
                # In the middle of an evaluation in the background neither idleness nor another catalogue ends them.
                evaluating = engines(one)
                one.rest()
                step = pool.submit(other.commit, question_of(club, registry, query))
                assert (engines(one), step.done()) == (evaluating, False)
                block.put_back()
                os.kill(evaluating[0], signal.SIGKILL)
                step.result()
            assert (engines(one), len(engines(other))) == ([], 1)
            outputs = local_evaluator(registry, club.keys, club.engine, clients)(question, seed)
            one.answer(checks, outputs)
            assert (len(engines(one)), engines(other)) == (1, [])
            meeting.close()
            with pytest.raises(Refused, match="gone for good"):
                other.commit(question)
