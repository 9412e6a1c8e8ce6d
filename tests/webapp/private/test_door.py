"""A holder encrypts on its own machine and sends what it made; whatever else is sent is refused, with a reason."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings
from django.urls import reverse
from typer.testing import CliRunner

from provenance.cli import app
from provenance.private_lookup import frames
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.identity import Identity, PublicIdentity, Vault, sign
from provenance.private_lookup.registry import Manifest, Registry
from tests.webapp.api.conftest import Partner, make_partner, partner, stranger
from tests.webapp.catalogues.conftest import sent
from tests.webapp.conftest import Cast
from tests.webapp.pictures import png
from tests.webapp.private.conftest import Keyholders, begin, finish
from webapp.catalogues.models import Catalogue
from webapp.private.models import HeldBy, PrivateCatalogue
from webapp.private.storage import blocks_of

pytestmark = pytest.mark.django_db
__all__ = ["make_partner", "partner", "stranger"]


class Holder:
    """A holder with its machine: an identity, what the site's kit unpacks to, and the command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.identity = Identity.new("holder")
        Vault(folder / "holder" / "vault", "home").keep("identity", self.identity.to_bytes())
        (folder / "holder" / "identity.json").write_text(json.dumps(self.identity.public.to_dict()))
        (folder / "pictures").mkdir()

    def unpack(self, kit: bytes) -> None:
        zipfile.ZipFile(io.BytesIO(kit)).extractall(self.folder)

    def encrypt(self, *seeds: int) -> Registry:
        """Encrypt pictures by the command; return the catalogue's folder."""
        for seed in seeds:
            (self.folder / "pictures" / f"{seed}.png").write_bytes(png(seed))
        self._call("encrypt", "pictures", "--into", "mine", "--keys", "keys")
        return self.registry

    def delete(self, name: str) -> Registry:
        self._call("delete", "mine", name)
        return self.registry

    def _call(self, *words: str) -> None:
        paths = {"pictures", "mine", "keys"}
        arguments = [str(self.folder / word) if word in paths else word for word in words]
        common = ["--agreement", str(self.folder / "agreement.json"), "--identity", str(self.folder / "holder")]
        done = CliRunner().invoke(app, ["catalogue", *arguments, *common], env={"PROVENANCE_PASSPHRASE": "home"})
        assert done.exit_code == 0, done.output

    @property
    def registry(self) -> Registry:
        return Registry(self.folder / "mine", Agreement.from_json((self.folder / "agreement.json").read_bytes()))


@pytest.fixture
def holder(tmp_path: Path) -> Holder:
    return Holder(tmp_path)


@pytest.fixture
def private(cast: Cast, catalogue: Catalogue, place: Keyholders, holder: Holder, partner: Partner) -> PrivateCatalogue:
    """A catalogue whose holder encrypts, with its keys, and the holder has its kit."""
    made = begin(cast, catalogue, held_by=HeldBy.HOLDER, holder=holder.identity)
    holder.unpack(partner.get(f"/private-catalogues/{catalogue.pk}/kit").content)
    return made


def put_blocks(partner: Partner, private: PrivateCatalogue, registry: Registry) -> None:
    for block in registry.manifest.blocks:
        data = registry.file(block).path.read_bytes()
        done = partner.call("PUT", f"/private-catalogues/{private.catalogue_id}/blocks/{block.sha256}", data)
        assert (done.status_code, done.json()["byte_size"]) == (200, block.size)


def put_manifest(partner: Partner, private: PrivateCatalogue, signed: bytes) -> Any:
    return partner.call("PUT", f"/private-catalogues/{private.catalogue_id}/manifest", signed)


def checked(private: PrivateCatalogue) -> PrivateCatalogue:
    private.refresh_from_db()
    finish(private.job)
    private.refresh_from_db()
    return private


def test_it_works(cast: Cast, private: PrivateCatalogue, holder: Holder, partner: Partner, stranger: Partner) -> None:
    registry = holder.encrypt(1, 2)
    put_blocks(partner, private, registry)
    done = put_manifest(partner, private, registry.signed)
    assert (done.status_code, done.json()["state"]) == (202, "checking")
    assert checked(private).entries == 2
    assert put_manifest(partner, private, registry.signed).json()["state"] == "present"

    # From the page: what was appended, then a deletion, for which the manifest is enough.
    client = cast.client("owner")
    address = reverse("private:upload", args=[private.catalogue_id])
    before = registry.signed
    registry = holder.encrypt(3)
    (block,) = registry.manifest.blocks
    files = [sent("manifest", registry.signed), sent(f"{block.sha256}.block", registry.file(block).path.read_bytes())]
    assert client.post(address, {"files": files}).status_code == 302
    assert checked(private).entries == 3
    # Of the block before nothing is left.
    assert [path.name for path in blocks_of(private).glob("*.block")] == [f"{block.sha256}.block"]
    registry = holder.delete("3.png")
    assert client.post(address, {"files": [sent("manifest", registry.signed)]}).status_code == 302
    assert checked(private).entries == 2
    again = client.post(address, {"files": [sent("manifest", registry.signed)]}, follow=True)
    assert "This content is here already" in again.content.decode()
    # Each that cannot be taken is named.
    bad = [sent(f"{digit * 64}.block", b"x") for digit in "ab"]
    named = client.post(address, {"files": [sent("manifest", registry.signed), *bad]})
    assert named.status_code == 400
    assert all(f"“{one.name}”: The block" in named.content.decode() for one in bad)
    # An earlier state is not taken back, whoever signed it.
    refused = put_manifest(partner, private, before)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "an earlier one is never taken back" in refused.json()["detail"]

    # Lists of names stay with their holder.
    names = [sent("manifest", registry.signed), sent(f"{block.sha256}.ids", b"[]")]
    assert "Leave out everything but" in client.post(address, {"files": names}).content.decode()
    assert client.post(address, {"files": [sent("text", b"")]}).status_code == 400
    path = f"/private-catalogues/{private.catalogue_id}"
    assert stranger.call("PUT", f"{path}/manifest", before).status_code == 404
    assert stranger.call("PUT", f"{path}/blocks/{block.sha256}", b"x").status_code == 404
    assert cast.client("outsider").post(address, {"files": names}).status_code == 404
    assert cast.client("viewer").post(address, {"files": names}).status_code == 403
    assert stranger.get(path).json()["entries"] == 2


def test_bytes_that_are_no_block_are_refused(
    private: PrivateCatalogue, holder: Holder, partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = holder.encrypt(1)
    (block,) = registry.manifest.blocks
    good = registry.file(block).path.read_bytes()
    head, parts = frames.read(io.BytesIO(good)) or ({}, [])

    def put(data: bytes, name: str = "") -> tuple[int, str]:
        sha256 = name or hashlib.sha256(data).hexdigest()
        done = partner.call("PUT", f"/private-catalogues/{private.catalogue_id}/blocks/{sha256}", data)
        return done.status_code, done.json().get("detail", "")

    flipped = good[:5000] + bytes([good[5000] ^ 1]) + good[5001:]
    status, why = put(flipped, block.sha256)
    assert (status, "it was cut off or altered" in why) == (400, True)
    assert put(good[:-1], block.sha256)[0] == 400
    assert put(good[:-1]) == (400, "This block is cut off, or something follows it.")
    assert put(good + b"x") == (400, "This block is cut off, or something follows it.")
    assert "under other keys" in put(frames.pack({**head, "tag": "0" * 64}, parts))[1]
    assert "no block of codes of 256 bits" in put(frames.pack(head, parts[:-1]))[1]
    assert "no block of codes of 256 bits" in put(frames.pack(head, [b"", *parts[1:]]))[1]
    assert put(b"no frame at all")[0] == 400
    assert put(b"PVL1" + b"\xff" * 100) == (400, "This is no block: a head or a number of parts over the limit.")
    assert put(good, "../../manifest")[0] in (400, 404)
    assert put(good, "0" * 63)[0] == 400
    assert put(b"", block.sha256)[0] == 400
    monkeypatch.setattr("webapp.private.door.most_block_bytes", lambda _scheme: 1000)
    status, why = put(good)
    assert (status, "has 1000\xa0bytes at most" in why) == (413, True)
    assert list(blocks_of(private).iterdir()) == []
    # A body that is larger than any block is not even stored.
    with override_settings(PRIVATE_BLOCK_MAX_BYTES=1000):
        from webapp.bodies import body_limit

        assert body_limit(f"/api/v1/private-catalogues/{private.catalogue_id}/blocks/{block.sha256}") == 1000


def test_manifests_that_are_not_the_holders_are_refused(
    private: PrivateCatalogue, holder: Holder, partner: Partner
) -> None:
    registry = holder.encrypt(1)
    signed = registry.signed
    refused = put_manifest(partner, private, signed)
    assert (refused.status_code, "which is not here" in refused.json()["detail"]) == (400, True)
    put_blocks(partner, private, registry)
    middle = len(signed) // 2
    for data in (signed[:-1], b"", b"PVL1", signed[:middle] + bytes([signed[middle] ^ 1]) + signed[middle + 1 :]):
        assert put_manifest(partner, private, data).status_code == 400
    assert put_manifest(partner, private, bytes(5 * 1024**2)).status_code == 413

    def forged(identity: Identity, manifest: Manifest, about: str = "") -> bytes:
        return sign(identity, "manifest", about or registry.agreement.digest, manifest.fields())

    stranger = Identity.new("holder")
    assert put_manifest(partner, private, forged(stranger, registry.manifest)).status_code == 400
    assert put_manifest(partner, private, forged(holder.identity, registry.manifest, "0" * 64)).status_code == 400
    (block,) = registry.manifest.blocks
    larger = replace(registry.manifest, blocks=(replace(block, size=block.size + 1),))
    assert put_manifest(partner, private, forged(holder.identity, larger)).status_code == 400
    assert put_manifest(partner, private, signed).status_code == 202
    assert checked(private).entries == 1
    other = replace(registry.manifest, catalogue="other", sequence=9)
    refused = put_manifest(partner, private, forged(holder.identity, other))
    assert (refused.status_code, "content of “other”" in refused.json()["detail"]) == (400, True)


def test_what_only_keyholders_can_tell_is_refused_by_them_and_what_was_before_stands(
    cast: Cast, private: PrivateCatalogue, holder: Holder, partner: Partner
) -> None:
    registry = holder.encrypt(1)
    put_blocks(partner, private, registry)
    put_manifest(partner, private, registry.signed)
    assert checked(private).entries == 1
    (block,) = registry.manifest.blocks
    # One entry is there, and the manifest says that there are two: the second is neither +1 nor -1.
    lie = replace(registry.manifest, sequence=9, blocks=(replace(block, used=2),))
    signed = sign(holder.identity, "manifest", registry.agreement.digest, lie.fields())
    assert put_manifest(partner, private, signed).status_code == 202
    before = bytes(private.manifest or b"")
    private = checked(private)
    assert private.job is not None
    assert (private.job.state, private.job.error_code) == ("failed", "invalid")
    assert "malformed" in private.problem
    assert (private.entries, bytes(private.manifest or b""), private.offered) == (1, before, None)
    assert (blocks_of(private) / "manifest").read_bytes() == before
    page = cast.client("owner").get(reverse("private:page", args=[private.catalogue_id])).content.decode()
    assert "What was sent last was refused, and the content before it stands." in page


def test_identities_that_are_somebody_elses_are_refused(cast: Cast, catalogue: Catalogue, place: Keyholders) -> None:
    identity = PublicIdentity("museum", "0" * 64, "1" * 64)
    address = reverse("private:begin", args=[catalogue.pk])
    data = {"held_by": "holder", "algorithm": "pdq-v1", "planned_entries": "10", "confirm": "yes"}
    refused = cast.client("owner").post(address, {**data, "identity": json.dumps(identity.to_dict())})
    assert refused.status_code == 400
    assert "A keyholder or this site has that name" in refused.content.decode()
