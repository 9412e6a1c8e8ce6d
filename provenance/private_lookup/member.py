"""What every organisation that takes part has: a folder with its keys, its agreement, its clients and its journal."""

from __future__ import annotations

import fcntl
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, ClassVar, Self

from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.errors import BadInput, Refused
from provenance.private_lookup.identity import Identity, PublicIdentity, Vault, write_whole
from provenance.private_lookup.journal import Journal

_IDENTITY, _AGREEMENT, _CLIENTS = "identity.json", "agreement.json", "clients.json"
_DAY = timedelta(hours=24)


class Member:
    """One party of an agreement, from its folder. One process at a time uses a folder.

    Args:
        folder: as :meth:`create` made it.
        passphrase: opens it.

    Raises:
        BadInput: the folder holds no member, or its journal was altered.
        Refused: another process uses it.
        WrongPassphrase: it does not open.
    """

    # What it is called, in sentences and commands.
    role: ClassVar[str]

    def __init__(self, folder: Path, passphrase: str) -> None:
        if not (folder / _IDENTITY).exists():
            raise BadInput(f"{folder} holds no {self.role}. Make one: provenance {self.role} create {folder} NAME")
        self.folder = folder
        self._lock = _locked(folder / "lock")
        self._vault = Vault(folder / "vault", passphrase)
        self.identity = Identity.from_bytes(self._vault["identity"])
        self.journal = Journal(folder / "journal.jsonl", self.identity.signing)
        self._agreed: Agreement | None = None

    @classmethod
    def create(cls, folder: Path, name: str, passphrase: str) -> PublicIdentity:
        """Make a member's folder and return what the others need to know of it.

        Raises:
            Refused: there is one already.
            BadInput: the name is not of letters, digits and '-'.
        """
        if (folder / _IDENTITY).exists():
            raise Refused(f"{folder} holds a {cls.role} already.")
        identity = Identity.new(name)
        Vault(folder / "vault", passphrase).keep("identity", identity.to_bytes())
        write_whole(folder / _IDENTITY, json.dumps(identity.public.to_dict()).encode())
        return identity.public

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_problem: object) -> None:
        self._lock.close()

    def agree(self, agreement: Agreement) -> None:
        """Take an agreement as ours, once and for all.

        Raises:
            Refused: we are no party of it, or have agreed to another.
        """
        path = self.folder / _AGREEMENT
        if path.exists() and path.read_bytes() != agreement.to_json():
            raise Refused(f"{self.identity.name} has agreed to something else already: one folder, one agreement.")
        if self.identity.public not in agreement.parties:
            raise Refused(f"{self.identity.name} is no party of this agreement, or has other keys in it.")
        if not path.exists():
            write_whole(path, agreement.to_json())
            self.journal.append("agreed", agreement=agreement.digest)

    @property
    def agreement(self) -> Agreement:
        """What was agreed.

        Raises:
            BadInput: nothing yet.
        """
        if self._agreed is None:
            path = self.folder / _AGREEMENT
            if not path.exists():
                raise BadInput(f"{self.identity.name} has not agreed to anything yet.")
            self._agreed = Agreement.from_json(path.read_bytes())
        return self._agreed

    def admit_client(self, client: PublicIdentity) -> None:
        """Answer this client's questions from now on.

        Raises:
            Refused: another of that name is known.
        """
        known = self.clients()
        if known.get(client.name, client) != client:
            raise Refused(f"Another client has the name {client.name}.")
        known[client.name] = client
        write_whole(self.folder / _CLIENTS, json.dumps([one.to_dict() for one in known.values()]).encode())
        self.journal.append("client", name=client.name, signing=client.signing)

    def clients(self) -> dict[str, PublicIdentity]:
        """Whose questions are answered, by name."""
        path = self.folder / _CLIENTS
        if not path.exists():
            return {}
        found = (PublicIdentity.from_dict(one) for one in json.loads(path.read_bytes()))
        return {client.name: client for client in found}

    def _count(self, question: str, client: str, policy: Policy, manifest: str, query: str) -> None:
        """Take a question down, before anything is done for it: one that fails its checks tells something too.

        Args:
            query: digest of what is asked about; the same in ``bit`` and ``who``.

        Raises:
            Refused: it was asked before, asks too often, asks ``who`` before ``bit``, or copies another's query.
        """
        asked = [entry for entry in self.journal.entries if entry.event == "asked"]
        if any(entry.fields["question"] == question for entry in asked):
            raise Refused("This question was asked before. Ask it anew.")
        if any(entry.fields["query"] == query and entry.fields["client"] != client for entry in asked):
            raise Refused("Another client asked with this query: its answer is for that one only.")
        since = datetime.now(UTC) - _DAY
        recent = [
            entry
            for entry in asked
            if entry.fields["client"] == client and datetime.fromisoformat(entry.time) > since
        ]
        if len(recent) >= self.agreement.daily_answers_each:
            raise Refused(f"{client} has asked {len(recent)} questions in 24 hours, which is all that it may.")
        if policy is Policy.WHO and not self._answered_before(client, query):
            raise Refused("'who' is answered only after 'bit' was, for the same query of the same client.")
        self.journal.append(
            "asked", question=question, client=client, policy=str(policy), manifest=manifest, query=query
        )

    def _answered_before(self, client: str, query: str) -> bool:
        asked = {
            entry.fields["question"]
            for entry in self.journal.entries
            if entry.event == "asked"
            and (entry.fields["client"], entry.fields["query"], entry.fields["policy"]) == (client, query, Policy.BIT)
        }
        return any(entry.event == "released" and entry.fields["question"] in asked for entry in self.journal.entries)


def _locked(path: Path) -> IO[str]:
    """Return a file that is locked until it is closed: two journals in one file would be none."""
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as problem:
        file.close()
        raise Refused(f"Another process uses {path.parent}.") from problem
    return file
