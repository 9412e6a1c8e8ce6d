"""ZIP archives from strangers: what is read, and what is refused before anything is unpacked."""

from __future__ import annotations

import io
import random
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.webapp.pictures import jpeg, zip_of
from webapp.catalogues.archive import Archive, clean_name, refusal_of
from webapp.errors import ErrorCode, ProductError


@pytest.fixture
def opened(tmp_path: Path) -> Any:
    """Return what opens archive bytes as an upload named prints.zip."""

    def open_bytes(data: bytes) -> Archive:
        path = tmp_path / "upload"
        path.write_bytes(data)
        return Archive(path, "prints.zip")

    return open_bytes


def patched(data: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """Return the archive with bytes of its first header of that signature replaced."""
    at = data.index(signature) + offset
    return data[:at] + value + data[at + len(value) :]


CENTRAL, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"


def test_it_works(opened: Any) -> None:
    members = {"a.jpg": jpeg(1), "folder/b.jpg": jpeg(2), "empty.png": b""}
    with opened(zip_of(members)) as archive:
        assert {entry.name: archive.read(entry) for entry in archive.entries} == members


@pytest.mark.parametrize("seed", range(12))
def test_it_reads_what_zipfile_writes(opened: Any, seed: int) -> None:
    """Random archives, read by us and by the standard library: names, sizes and bytes agree."""
    generator = random.Random(seed)
    buffer = io.BytesIO(b"#!/bin/sh\nexit 1\n" if seed % 3 == 0 else b"")
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a") as writer:
        for number in range(generator.randrange(0, 9)):
            name = f"{'d/' * generator.randrange(3)}{generator.choice(['é', 'файл', 'x', '😀'])}{number}.png"
            data = generator.randbytes(generator.randrange(0, 5000)) * generator.randrange(1, 4)
            info = zipfile.ZipInfo(name)
            info.compress_type = generator.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
            with writer.open(info, "w", force_zip64=generator.random() < 0.3) as member:
                member.write(data)
        writer.comment = generator.choice([b"", b"hello"])
    with zipfile.ZipFile(buffer) as expected, opened(buffer.getvalue()) as archive:
        assert {entry.name: archive.read(entry) for entry in archive.entries} == {
            info.filename: expected.read(info) for info in expected.infolist()
        }


def test_a_comment_that_looks_like_an_end_is_no_end(opened: Any) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as writer:
        writer.writestr("a.jpg", jpeg(1))
        writer.comment = b"PK\x05\x06 is not the end" * 9
    with opened(buffer.getvalue()) as archive:
        assert archive.read(archive.entries[0]) == jpeg(1)


def test_it_reads_what_was_streamed(opened: Any) -> None:
    """A writer that cannot seek puts sizes and checksum behind each member; the directory has them."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *where: int) -> int:
            raise OSError

        def tell(self) -> int:
            raise OSError

    buffer = Pipe()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("a.jpg", jpeg(1))
    with opened(buffer.getvalue()) as archive:
        assert archive.read(archive.entries[0]) == jpeg(1)


def test_it_reads_zip64(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive whose end record says "see the Zip64 record", as one with more than 65,535 entries does."""
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    data = zip_of({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    assert b"PK\x06\x06" in data
    with opened(data) as archive:
        assert [archive.read(entry) for entry in archive.entries] == [jpeg(1), jpeg(2)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04",
        b"not an archive at all" * 100,
        jpeg(1),
        zip_of({"a.jpg": jpeg(1)})[:-30],
        zip_of({"a.jpg": jpeg(1)})[:200],
        zip_of({"a.jpg": jpeg(1)})[40:],
        patched(zip_of({"a.jpg": jpeg(1)}), END, 10, struct.pack("<H", 7)),
        patched(zip_of({"a.jpg": jpeg(1)}), END, 12, struct.pack("<I", 0xFFFFFFF0)),
        patched(zip_of({"a.jpg": jpeg(1)}), END, 16, struct.pack("<I", 0xFFFFFFF0)),
        patched(zip_of({"a.jpg": jpeg(1)}), CENTRAL, 28, struct.pack("<H", 0xFFFF)),
        patched(zip_of({"a.jpg": jpeg(1)}), CENTRAL, 0, b"XX"),
    ],
    ids=["empty", "start", "text", "jpeg", "cut", "cut-short", "beheaded", "count", "size", "offset", "name", "magic"],
)
def test_what_is_no_archive_is_refused_by_name(opened: Any, data: bytes) -> None:
    with pytest.raises(ProductError, match=r"prints\.zip") as refused:
        opened(data)
    assert refused.value.code == ErrorCode.ARCHIVE_UNREADABLE


def test_every_cut_and_flip_is_survived(opened: Any) -> None:
    """Damage anywhere gives a refusal of the archive or of the member, or the member unharmed; nothing else."""
    original = zip_of({"a.jpg": jpeg(1)[:300], "b.jpg": jpeg(2)[:300]})
    generator = random.Random(5)
    for _round in range(400):
        data = bytearray(original)
        for _flip in range(generator.randrange(1, 4)):
            data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        if generator.random() < 0.3:
            del data[generator.randrange(len(data)) :]
        try:
            with opened(bytes(data)) as archive:
                for entry in archive.entries:
                    assert archive.read(entry) in (jpeg(1)[:300], jpeg(2)[:300])
        except ProductError:
            continue


def test_too_many_entries_are_refused_before_they_are_kept(opened: Any, settings: Any) -> None:
    settings.IMPORT_MAX_ROWS = 2
    data = zip_of({f"{n}.jpg": b"x" for n in range(7)})
    with pytest.raises(ProductError, match=r"prints\.zip.*more than 2 files") as refused:
        opened(data)
    assert refused.value.code == ErrorCode.TOO_MANY_FILES
    lying = patched(data, END, 10, struct.pack("<H", 7 & 1))
    with pytest.raises(ProductError):
        opened(lying)


def test_a_bomb_by_ratio_is_refused(opened: Any) -> None:
    data = zip_of({"photo.jpg": jpeg(1), "zeros.bmp": bytes(70 * 1024**2)})
    with pytest.raises(ProductError, match=r"zeros\.bmp") as refused:
        opened(data)
    assert refused.value.code == ErrorCode.ARCHIVE_TOO_LARGE


def test_a_bomb_by_total_is_refused(opened: Any, settings: Any) -> None:
    settings.IMPORT_MAX_BYTES = 2000
    with pytest.raises(ProductError, match="unpack to") as refused:
        opened(zip_of({"a": bytes(1500), "b": bytes(1500)}))
    assert refused.value.code == ErrorCode.ARCHIVE_TOO_LARGE


def test_a_bomb_of_overlapping_members_is_refused(opened: Any) -> None:
    """Many directory entries that point at one compressed member."""
    data = zip_of({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    at = data.rindex(CENTRAL) + 42
    data = data[:at] + struct.pack("<I", 0) + data[at + 4 :]
    with pytest.raises(ProductError, match="overlaps") as refused:
        opened(data)
    assert refused.value.code == ErrorCode.ARCHIVE_UNREADABLE


def test_a_member_that_lies_about_its_size_is_refused(opened: Any) -> None:
    data = patched(zip_of({"a.bmp": bytes(100_000)}), CENTRAL, 24, struct.pack("<I", 10))
    with opened(data) as archive, pytest.raises(ProductError, match=r"a\.bmp.*damaged"):
        archive.read(archive.entries[0])


def test_a_member_with_a_wrong_checksum_is_refused(opened: Any) -> None:
    data = zip_of({"a.jpg": jpeg(1)}, zipfile.ZIP_STORED)
    at = len(LOCAL) + 60
    with (
        opened(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) as archive,
        pytest.raises(ProductError, match=r"a\.jpg.*damaged") as refused,
    ):
        archive.read(archive.entries[0])
    assert refused.value.code == ErrorCode.ARCHIVE_UNREADABLE


@pytest.mark.parametrize(
    "name",
    ["../a.jpg", "x/../../a.jpg", "/etc/a.jpg", "C:/a.jpg", "c:a.jpg", "..\\a.jpg", "\\\\server\\a.jpg", "x/.."],
)
def test_names_that_point_outside_are_refused(opened: Any, name: str) -> None:
    with opened(zip_of({name: jpeg(1)})) as archive:
        refusal = refusal_of(archive.entries[0])
        assert refusal is not None
        assert refusal.code == ErrorCode.ARCHIVE_UNSAFE_PATH
        assert archive.entries[0].name in str(refusal.message)
        with pytest.raises(ProductError):
            archive.read(archive.entries[0])


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_are_refused(opened: Any, mode: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("link.jpg")
        info.create_system = 3
        info.external_attr = (mode | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with opened(buffer.getvalue()) as found:
        refusal = refusal_of(found.entries[0])
        assert refusal is not None
        assert refusal.code == ErrorCode.ARCHIVE_UNSAFE_PATH
        assert "link.jpg" in str(refusal.message)


def refused_code(opened: Any, data: bytes) -> tuple[ErrorCode, str]:
    with opened(data) as archive, pytest.raises(ProductError) as refused:
        archive.read(archive.entries[0])
    return refused.value.code, str(refused.value.message)


def test_encrypted_members_are_refused(opened: Any) -> None:
    data = patched(zip_of({"a.jpg": jpeg(1)}), CENTRAL, 8, struct.pack("<H", 1))
    code, message = refused_code(opened, data)
    assert code == ErrorCode.ARCHIVE_ENCRYPTED
    assert "a.jpg" in message


def test_archives_inside_are_refused_by_name_and_by_content(opened: Any) -> None:
    inner = zip_of({"a.jpg": jpeg(1)})
    for name in ("inner.zip", "inner.TAR", "picture.jpg"):
        code, message = refused_code(opened, zip_of({name: inner}))
        assert code == ErrorCode.ARCHIVE_NESTED
        assert name in message


def test_rare_methods_are_refused(opened: Any) -> None:
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        code, message = refused_code(opened, zip_of({"a.jpg": jpeg(1)}, method))
        assert code == ErrorCode.ARCHIVE_UNREADABLE
        assert f"method {method}" in message


def test_large_members_are_refused(opened: Any, settings: Any) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    code, message = refused_code(opened, zip_of({"big.bmp": bytes(1001)}))
    assert code == ErrorCode.FILE_TOO_LARGE
    assert "big.bmp" in message
    with opened(zip_of({"fits.bmp": bytes(1000)})) as archive:
        assert len(archive.read(archive.entries[0])) == 1000


def test_names_of_every_encoding_are_shown(opened: Any) -> None:
    def named(raw: bytes, flags: int) -> str:
        data = zip_of({"x" * len(raw): b"1"}).replace(b"x" * len(raw), raw)
        data = patched(data, CENTRAL, 8, struct.pack("<H", flags))
        with opened(data) as archive:
            return str(archive.entries[0].name)

    assert named("Müller.jpg".encode(), 0x0800) == "Müller.jpg"
    assert named("Müller.jpg".encode(), 0) == "Müller.jpg"  # macOS writes UTF-8 without saying so
    assert named("Müller.jpg".encode("cp437"), 0) == "Müller.jpg"
    assert named(b"M\xffller.jpg", 0x0800) == "M\N{REPLACEMENT CHARACTER}ller.jpg"
    assert named("Mu\u0308ller.jpg".encode(), 0x0800) == "Müller.jpg"


def test_names_lose_what_misleads_the_eye() -> None:
    assert clean_name("photo\u202egpj.exe") == "photo\N{REPLACEMENT CHARACTER}gpj.exe"
    assert clean_name("a\x00b\nc") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"
    assert clean_name("family \N{MAN}\N{ZERO WIDTH JOINER}\N{GIRL}.jpg") == "family \N{MAN}\u200d\N{GIRL}.jpg"


def test_what_systems_leave_behind_is_known(opened: Any) -> None:
    names = ["__MACOSX/._a.jpg", ".DS_Store", "x/.hidden/a.jpg", "x/Thumbs.db", "x/", "a.jpg", "./b.jpg", "t.CSV"]
    with opened(zip_of(dict.fromkeys(names, b""))) as archive:
        hidden = [entry.name for entry in archive.entries if entry.hidden]
        assert hidden == ["__MACOSX/._a.jpg", ".DS_Store", "x/.hidden/a.jpg", "x/Thumbs.db"]
        assert [entry.name for entry in archive.entries if entry.folder] == ["x/"]
        assert [entry.name for entry in archive.entries if entry.table] == ["t.CSV"]
