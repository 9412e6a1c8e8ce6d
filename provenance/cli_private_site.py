"""Asking a private catalogue through a site, so that the site learns neither picture nor answer."""

from __future__ import annotations

import io
import json
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from provenance.cli_members import (
    JsonOption,
    PassphraseOption,
    line,
    out,
    problems_as_sentences,
    read_agreement,
    read_identity,
)
from provenance.cli_private import (
    NOT_FOUND,
    AgreementOption,
    IdentityOption,
    chance_words,
    engine_for,
    picture_code,
)
from provenance.private_lookup import frames
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.client import Client
from provenance.private_lookup.errors import BadInput, KeyholderUnreachable, Refused
from provenance.private_lookup.index import Answer
from provenance.private_lookup.joint_keys import read_keys
from provenance.private_lookup.registry import Manifest, read_manifest

_MOST_BYTES = 1 << 30
_SECONDS = 60.0


class Site:
    """A site's API, as far as private catalogues go.

    Args:
        address: of the catalogue: ``https://SITE/api/v1/private-catalogues/ID``.
        key: an API key with the scopes ``check:read`` and ``check:write``.
    """

    def __init__(self, address: str, key: str) -> None:
        parts = urlsplit(address)
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if parts.scheme != "https" and not (local and parts.scheme == "http"):
            raise BadInput("The address of a catalogue begins with https://, so that nobody on the way has the key.")
        if "/api/v1/private-catalogues/" not in parts.path:
            raise BadInput(
                "This is no address that a program asks at: it is https://SITE/api/v1/private-catalogues/ID, which the "
                "catalogue's page names."
            )
        self._address = address.rstrip("/")
        self._key = key

    def manifest(self) -> bytes:
        """Return the signed manifest of the present content."""
        try:
            with zipfile.ZipFile(io.BytesIO(self._call(f"{self._address}/kit"))) as kit:
                return kit.read("catalogue/manifest")
        except (zipfile.BadZipFile, KeyError) as problem:
            raise BadInput("The site's kit has no manifest.") from problem

    def ask(self, question: bytes) -> list[bytes]:
        """Send a question, wait for its answer, and return the keyholders' sealed messages."""
        row = self._json(f"{self._address}/questions", question)
        while row["state"] not in ("succeeded", "failed", "cancelled"):
            time.sleep(1)
            row = self._json(row["links"]["self"])
        if row["error"] is not None:
            raise Refused(str(row["error"]["message"]))
        try:
            read = frames.read(io.BytesIO(self._call(row["links"]["answer"])))
        except frames.FrameError as problem:
            raise BadInput(f"The site's answer is damaged: {problem}.") from problem
        if read is None:
            raise BadInput("The site's answer is empty.")
        return read[1]

    def _json(self, address: str, body: bytes | None = None) -> Any:
        try:
            return json.loads(self._call(address, body))
        except ValueError as problem:
            raise BadInput("The site does not answer as a site of this kind does.") from problem

    def _call(self, address: str, body: bytes | None = None) -> bytes:
        # The key goes nowhere but to the site that was named.
        if urlsplit(address)[:2] != urlsplit(self._address)[:2]:
            raise BadInput("The site names an address that is not its own.")
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/octet-stream"}
        request = urllib.request.Request(address, body, headers)  # noqa: S310 - https, or this machine
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310
                data: bytes = response.read(_MOST_BYTES)
                return data
        except urllib.error.HTTPError as refusal:
            raise Refused(f"The site refuses ({refusal.code}): {_detail(refusal)}") from refusal
        except OSError as problem:
            raise KeyholderUnreachable(f"The site does not answer: {problem}.") from problem


def ask_site(
    picture: Annotated[Path, typer.Argument(help="Picture file.")],
    at: Annotated[str, typer.Option(help="Address of the catalogue: https://SITE/api/v1/private-catalogues/ID")],
    agreement: AgreementOption,
    keys: Annotated[Path, typer.Option("--keys", help="Folder of the joint keys: 'keys' of any keyholder.")],
    identity: IdentityOption,
    key: Annotated[
        str,
        typer.Option(envvar="PROVENANCE_API_KEY", show_envvar=True, help="API key that may read and submit checks."),
    ],
    who: Annotated[bool, typer.Option("--who", help="After a hit, ask which entries match.")] = False,
    passphrase: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask through a site, which learns neither the picture nor the answer. The exit status is 1 where nothing matches.

    Agreement and keys come from a keyholder, or are compared with what one says: a site that could choose them could
    read the question.
    """
    with problems_as_sentences():
        agreed = read_agreement(agreement)
        client = read_identity(identity, passphrase)
        code = picture_code(picture, agreed.algorithm)
        site = Site(at, key)
        manifest = read_manifest(site.manifest(), agreed)
        with engine_for(agreed) as running:
            asker = Client(client, agreed, read_keys(keys, agreed), running)
            query = asker.encrypt(code)

            def ask(policy: Policy, about: Manifest) -> Answer:
                began = time.perf_counter()
                asking = asker.prepare(query, policy, about)
                return asker.read(asking, about, site.ask(asking.question), time.perf_counter() - began)

            answer = ask(Policy.BIT, manifest)
            if who and answer.matches:
                answer = ask(Policy.WHO, manifest)
    if as_json:
        said = {"matches": answer.matches, "places": [list(place) for place in answer.places]}
        out.print_json(json.dumps({**said, "entries": answer.entries, "seconds": round(answer.seconds, 2)}))
    else:
        line("Something in the catalogue matches." if answer.matches else "Nothing in the catalogue matches.")
        for block, slot in answer.places:
            line(f"entry {manifest.number(block, slot)} of its holder's list (block {block}, slot {slot})")
        line(chance_words(agreed, answer.entries))
    if not answer.matches:
        raise typer.Exit(NOT_FOUND)


def _detail(refusal: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(refusal.read(1 << 16))["detail"])
    except (ValueError, KeyError, TypeError, OSError):
        return str(refusal.reason)
