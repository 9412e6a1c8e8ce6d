"""Reading ZIP archives from strangers: nothing is unpacked to disk, and nothing is read before it is judged.

The directory is walked under limits before its entries are kept; each member is then read by itself, into memory,
under a limit that its own header cannot raise. Names are for people: no path is ever made of them. Layout and field
names after PKWARE's APPNOTE.TXT 6.3.10. Only stored and deflated members are read (methods 0 and 8).
"""

from __future__ import annotations

import re
import stat
import struct
import unicodedata
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from django.conf import settings
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from webapp.errors import ErrorCode, ProductError

_END = struct.Struct("<4s4H2IH")  # end of central directory record
_END64_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_COMMENT_BYTES = 0xFFFF
_DIRECTORY_BYTES = 64 * 1024**2
# An archive made on a Mac has a hidden companion for each file; folders are entries too.
_ENTRIES_PER_ROW = 3
_RATIO = 200
_RATIO_FROM_BYTES = 64 * 1024**2
_UNIX = 3
_ENCRYPTED, _UTF8 = 0x0001, 0x0800
_STORED, _DEFLATED = 0, 8
_NESTED = re.compile(r"\.(zip|7z|rar|tar|tgz|gz|bz2|xz|zst|jar|cab|iso)$", re.IGNORECASE)
_NESTED_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b", b"\xfd7zXZ\x00")
_TABLE = re.compile(r"\.(csv|tsv)$", re.IGNORECASE)
_TURNING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
_JUNK = frozenset({"thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class Entry:
    """One entry of an archive's directory.

    Attributes:
        ordinal: its position in the directory.
        name: its path for people: "/" between parts, composed Unicode, nothing invisible.
        size: bytes that it says it unpacks to.
        packed: bytes that it takes in the archive.
        offset: where its local header begins in the file.
    """

    ordinal: int
    name: str
    size: int
    packed: int
    offset: int
    crc: int
    method: int
    encrypted: bool
    special: bool
    folder: bool

    @property
    def hidden(self) -> bool:
        """Whether systems put it there for themselves: dot files, __MACOSX, Thumbs.db."""
        parts = self.name.split("/")
        return (
            parts[0] == "__MACOSX"
            or parts[-1].lower() in _JUNK
            or any(part.startswith(".") and part not in (".", "..") for part in parts)
        )

    @property
    def table(self) -> bool:
        """Whether it is a table of titles, by its name."""
        return bool(_TABLE.search(self.name))


class Archive:
    """A ZIP archive whose directory has been read and judged as a whole.

    Raises:
        ProductError: it is no ZIP archive, is cut short, has too many entries, or would unpack to too much. Its
            sentence names the archive or the entry.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._handle = path.open("rb")
        self._name = name
        try:
            self.entries = self._read_directory(path.stat().st_size)
            self._require_sane_sizes(path.stat().st_size)
        except BaseException:
            self._handle.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.close()

    def read(self, entry: Entry) -> bytes:
        """Return an entry's bytes, at most ``settings.UPLOAD_MAX_BYTES``, checked against its CRC-32.

        Raises:
            ProductError: the entry is refused (see :func:`refusal_of`) or damaged.
        """
        refused = refusal_of(entry)
        if refused:
            raise refused
        damaged = ProductError(
            ErrorCode.ARCHIVE_UNREADABLE,
            _("“%(name)s” is damaged inside the archive. Make the archive again and send that.") % {"name": entry.name},
        )
        self._handle.seek(entry.offset)
        header = self._handle.read(_LOCAL.size)
        if len(header) < _LOCAL.size or header[:4] != b"PK\x03\x04":
            raise damaged
        *_fields, name_bytes, extra_bytes = _LOCAL.unpack(header)
        self._handle.seek(name_bytes + extra_bytes, 1)
        packed = self._handle.read(entry.packed)
        try:
            data = packed if entry.method == _STORED else _inflate(packed, entry.size)
        except zlib.error as error:
            raise damaged from error
        if len(data) != entry.size or zlib.crc32(data) != entry.crc:
            raise damaged
        if data.startswith(_NESTED_MAGIC):
            raise _nested(entry.name)
        return data

    def _read_directory(self, file_bytes: int) -> list[Entry]:
        count, size, offset, end = self._find_directory(file_bytes)
        start = end - size
        if count > _ENTRIES_PER_ROW * settings.IMPORT_MAX_ROWS:
            raise self._too_many()
        if size > _DIRECTORY_BYTES or start < 0 or offset > start:
            raise self._unreadable()
        # Something may stand before the archive, such as the program of one that unpacks itself.
        shift = start - offset
        self._handle.seek(start)
        directory = memoryview(self._handle.read(size))
        entries = list(self._walk(directory, shift))
        # Without Zip64 the figure has 16 bits and some archivers let it run over.
        if len(entries) & 0xFFFF != count & 0xFFFF:
            raise self._unreadable()
        self._require_apart(entries, start)
        return entries

    def _find_directory(self, file_bytes: int) -> tuple[int, int, int, int]:
        """Return the directory's number of entries, bytes, stated offset, and where it ends."""
        tail_bytes = min(file_bytes, _END.size + _COMMENT_BYTES)
        self._handle.seek(file_bytes - tail_bytes)
        tail = self._handle.read(tail_bytes)
        at = tail.rfind(b"PK\x05\x06")
        # What looks like the record may be part of the comment behind the real one.
        while at >= 0 and (len(tail) - at < _END.size or len(tail) - at - _END.size != _comment_bytes(tail, at)):
            at = tail.rfind(b"PK\x05\x06", 0, at)
        if at < 0:
            raise self._unreadable()
        _sig, disk, first_disk, _here, count, size, offset, _comment = _END.unpack_from(tail, at)
        end = file_bytes - tail_bytes + at
        if end >= _END64_LOCATOR.size + _END64.size:
            self._handle.seek(end - _END64_LOCATOR.size - _END64.size)
            record = self._handle.read(_END64.size)
            locator = self._handle.read(_END64_LOCATOR.size)
            if locator[:4] == b"PK\x06\x07" and record[:4] == b"PK\x06\x06":
                _sig, _bytes, _made, _needed, disk, first_disk, _here, count, size, offset = _END64.unpack(record)
                end -= _END64_LOCATOR.size + _END64.size
        if disk or first_disk:
            raise ProductError(
                ErrorCode.ARCHIVE_UNREADABLE,
                _("“%(name)s” is one part of a split archive. Send one ZIP that is whole.") % {"name": self._name},
            )
        return count, size, offset, end

    def _walk(self, directory: memoryview, shift: int) -> Iterator[Entry]:
        at = ordinal = 0
        limit = _ENTRIES_PER_ROW * settings.IMPORT_MAX_ROWS
        while at < len(directory):
            if len(directory) - at < _CENTRAL.size or bytes(directory[at : at + 4]) != b"PK\x01\x02":
                raise self._unreadable()
            if ordinal >= limit:
                raise self._too_many()
            fields = _CENTRAL.unpack_from(directory, at)
            (_sig, made_by, _needed, flags, method, _time, _date, crc, packed, size) = fields[:10]
            name_bytes, extra_bytes, comment_bytes, _disk, _internal, external, offset = fields[10:]
            at += _CENTRAL.size
            name = bytes(directory[at : at + name_bytes])
            extra = dict(_extra_fields(bytes(directory[at + name_bytes : at + name_bytes + extra_bytes])))
            at += name_bytes + extra_bytes + comment_bytes
            size, packed, offset = _wide(extra.get(0x0001, b""), size, packed, offset)
            shown = _decode_name(name, flags, extra.get(0x7075, b""))
            yield Entry(
                ordinal=ordinal,
                name=shown,
                size=size,
                packed=packed,
                offset=offset + shift,
                crc=crc,
                method=method,
                encrypted=bool(flags & _ENCRYPTED),
                special=made_by >> 8 == _UNIX and stat.S_IFMT(external >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR),
                folder=shown.endswith("/"),
            )
            ordinal += 1
        if at > len(directory):
            raise self._unreadable()

    def _require_apart(self, entries: list[Entry], directory_start: int) -> None:
        """Refuse entries that share bytes, by which a small archive says it unpacks to a huge one."""
        ordered = sorted(entries, key=lambda entry: entry.offset)
        starts = [*(entry.offset for entry in ordered), directory_start]
        for entry, following in zip(ordered, starts[1:], strict=True):
            if entry.offset + _LOCAL.size + entry.packed > following:
                raise ProductError(
                    ErrorCode.ARCHIVE_UNREADABLE,
                    _("“%(member)s” overlaps another member of “%(name)s”. Make the archive again and send that.")
                    % {"member": entry.name, "name": self._name},
                )

    def _require_sane_sizes(self, file_bytes: int) -> None:
        total = sum(entry.size for entry in self.entries)
        if total > settings.IMPORT_MAX_BYTES:
            raise ProductError(
                ErrorCode.ARCHIVE_TOO_LARGE,
                _("“%(name)s” would unpack to %(total)s; the limit is %(limit)s. Split it and send the parts.")
                % {
                    "name": self._name,
                    "total": filesizeformat(total),
                    "limit": filesizeformat(settings.IMPORT_MAX_BYTES),
                },
                status=413,
            )
        if total > _RATIO_FROM_BYTES and total > _RATIO * file_bytes:
            largest = max(self.entries, key=lambda entry: entry.size)
            raise ProductError(
                ErrorCode.ARCHIVE_TOO_LARGE,
                _(
                    "“%(name)s” would unpack to more than %(ratio)d times its size, as no archive of pictures does;"
                    " its largest member is “%(member)s”. Send the pictures without it."
                )
                % {"name": self._name, "ratio": _RATIO, "member": largest.name},
                status=413,
            )

    def _unreadable(self) -> ProductError:
        return ProductError(
            ErrorCode.ARCHIVE_UNREADABLE,
            _("“%(name)s” is not a ZIP archive, or it was cut short on its way. Make it again and send that.")
            % {"name": self._name},
        )

    def _too_many(self) -> ProductError:
        return ProductError(
            ErrorCode.TOO_MANY_FILES,
            _("“%(name)s” holds more than %(limit)d files. Split it and send the parts.")
            % {"name": self._name, "limit": settings.IMPORT_MAX_ROWS},
            status=413,
        )


def refusal_of(entry: Entry) -> ProductError | None:
    """Return why this entry is not read, judged by its directory entry alone; None where it may be read."""
    name = {"name": entry.name}
    parts = entry.name.split("/")
    if entry.name.startswith("/") or re.match(r"[A-Za-z]:", entry.name) or ".." in parts:
        return ProductError(
            ErrorCode.ARCHIVE_UNSAFE_PATH,
            _("“%(name)s” points outside the archive. Pack the picture under a plain name.") % name,
        )
    if entry.special:
        return ProductError(
            ErrorCode.ARCHIVE_UNSAFE_PATH,
            _("“%(name)s” is a link or device, not a file. Pack the picture itself.") % name,
        )
    if entry.encrypted:
        return ProductError(
            ErrorCode.ARCHIVE_ENCRYPTED,
            _("“%(name)s” is encrypted. Make the archive again without a password.") % name,
        )
    if _NESTED.search(entry.name):
        return _nested(entry.name)
    if entry.method not in (_STORED, _DEFLATED):
        return ProductError(
            ErrorCode.ARCHIVE_UNREADABLE,
            _("“%(name)s” is packed by method %(method)d, which is not read here. Use ordinary ZIP compression.")
            % {**name, "method": entry.method},
        )
    # Deflate adds at most five bytes to each 16 KiB block that it cannot shorten.
    if max(entry.size, entry.packed - entry.packed // 1000 - 64) > settings.UPLOAD_MAX_BYTES:
        return ProductError(
            ErrorCode.FILE_TOO_LARGE,
            _("“%(name)s” has %(size)s; the limit for one file is %(limit)s.")
            % {
                **name,
                "size": filesizeformat(max(entry.size, entry.packed)),
                "limit": filesizeformat(settings.UPLOAD_MAX_BYTES),
            },
            status=413,
        )
    return None


def clean_name(name: str) -> str:
    """Return a file's name from outside as it may be shown and stored: composed, nothing invisible in it."""
    composed = unicodedata.normalize("NFC", name.replace("\\", "/"))
    return "".join("\N{REPLACEMENT CHARACTER}" if _misleads(character) else character for character in composed)


def _misleads(character: str) -> bool:
    """Whether it is a control character, half a surrogate pair, or turns the direction of what follows (UAX #9)."""
    return unicodedata.category(character) in ("Cc", "Cs") or unicodedata.bidirectional(character) in _TURNING


def _nested(name: str) -> ProductError:
    return ProductError(
        ErrorCode.ARCHIVE_NESTED,
        _("“%(name)s” is an archive inside the archive. Pack its pictures directly.") % {"name": name},
    )


def _inflate(packed: bytes, size: int) -> bytes:
    """Return the inflated bytes, at most one more than ``size``."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)


def _comment_bytes(tail: bytes, at: int) -> int:
    return int.from_bytes(tail[at + _END.size - 2 : at + _END.size], "little")


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        yield kind, extra[at + 4 : at + 4 + size]
        at += 4 + size


def _wide(field: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Return the three figures with those that do not fit 32 bits taken from the Zip64 field (4.5.3)."""
    numbers = iter(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
    wide = [next(numbers, 0xFFFFFFFF) if value == 0xFFFFFFFF else value for value in (size, packed, offset)]
    return wide[0], wide[1], wide[2]


def _decode_name(raw: bytes, flags: int, unicode_path: bytes) -> str:
    """Return an entry's name. Many archivers write UTF-8 without saying so; what is not UTF-8 is code page 437."""
    if unicode_path[:1] == b"\x01" and unicode_path[1:5] == struct.pack("<I", zlib.crc32(raw)):
        raw, flags = unicode_path[5:], flags | _UTF8
    if flags & _UTF8:
        return clean_name(raw.decode("utf-8", errors="replace"))
    try:
        return clean_name(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return clean_name(raw.decode("cp437"))
