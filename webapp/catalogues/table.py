"""Tables of titles: reading the CSV that comes with pictures, and writing CSV that spreadsheets take as plain text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from webapp.catalogues.archive import clean_name
from webapp.errors import ErrorCode, ProductError
from webapp.registry.models import Work

FILENAME = "filename"
COLUMNS = ("title", "creator", "licence", "source_url", "external_id")
TABLE_MAX_BYTES = 16 * 1024**2

_ALIASES = {
    "file": FILENAME,
    "file_name": FILENAME,
    "license": "licence",
    "url": "source_url",
    "source": "source_url",
    "author": "creator",
    "artist": "creator",
    "id": "external_id",
}
_DELIMITERS = ",;\t|"
_LENGTHS = {column: getattr(Work._meta.get_field(column), "max_length") for column in COLUMNS}  # noqa: B009
_require_url = URLValidator(schemes=("http", "https"))


@dataclass(frozen=True)
class TableRow:
    """One line of a table.

    Attributes:
        line: its number in the file, the header's being 1.
        filename: which picture it is about, as written there.
        values: column -> text, without empty ones.
        problem: a sentence on why it cannot be used; mostly empty.
    """

    line: int
    filename: str
    values: dict[str, str]
    problem: str = ""


@dataclass(frozen=True)
class Table:
    """A table of titles: its lines, and what is to be said about it as a whole."""

    rows: list[TableRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Matching:
    """Which line belongs to which file.

    Attributes:
        found: position among the files -> its line.
        missing: lines whose file is not there.
        unclear: position -> a line that fits several files by its bare name.
    """

    found: dict[int, TableRow]
    missing: list[TableRow]
    unclear: dict[int, TableRow]


def table_read(data: bytes, name: str) -> Table:
    """Read a CSV table whose first line names its columns, in any order, one of them ``filename``.

    The delimiter may be a comma, semicolon, tab or bar. The text is UTF-8, with or without a byte order mark, or
    UTF-16 with one; other encodings cannot be told apart and are refused.

    Raises:
        ProductError: it cannot be read; the sentence names the table and what to change.
    """
    if len(data) > TABLE_MAX_BYTES:
        raise ProductError(
            ErrorCode.FILE_TOO_LARGE,
            _("The table “%(name)s” has %(size)s; the limit is %(limit)s. Split the upload into parts.")
            % {"name": name, "size": filesizeformat(len(data)), "limit": filesizeformat(TABLE_MAX_BYTES)},
            status=413,
        )
    text = _decode(data, name)
    header_text = next(iter(text.splitlines()), "")
    delimiter = _delimiter(header_text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [_column(cell) for cell in next(reader, [])]
        if FILENAME not in header:
            raise _unreadable(
                name,
                _("It has no column “filename”; its first line names: %(columns)s.")
                % {"columns": ", ".join(filter(None, header)) or _("nothing")},
            )
        twice = sorted({column for column in header if column and header.count(column) > 1})
        if twice:
            raise _unreadable(name, _("It has the column “%(column)s” twice.") % {"column": twice[0]})
        return Table(list(_rows(reader, header, name)), _notes(header))
    except csv.Error as error:
        raise _unreadable(
            name, _("Line %(line)d cannot be read: %(reason)s.") % {"line": reader.line_num, "reason": error}
        ) from error


def table_match(rows: Sequence[TableRow], names: Sequence[str]) -> Matching:
    """Find each file's line: the one that names the longest part of its path, counted from its end.

    So a table may give whole paths, paths within one folder of the archive, or bare names where those are unique.
    Upper and lower case are not told apart.
    """
    by_path = {_key(row.filename): row for row in rows}
    fits: dict[int, list[int]] = {}
    exact: dict[int, int] = {}
    for position, name in enumerate(names):
        parts = _key(name).split("/")
        for start in range(len(parts)):
            row = by_path.get("/".join(parts[start:]))
            if row is not None:
                fits.setdefault(row.line, []).append(position)
                if start == 0:
                    exact[row.line] = position
                break
    found: dict[int, TableRow] = {}
    unclear: dict[int, TableRow] = {}
    for row in rows:
        positions = fits.get(row.line, [])
        if row.line in exact:
            found[exact[row.line]] = row
        elif len(positions) == 1:
            found[positions[0]] = row
        else:
            unclear.update(dict.fromkeys(positions, row))
    missing = [row for row in rows if row.line not in fits]
    return Matching(found, missing, unclear)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return CSV (RFC 4180, with a byte order mark for spreadsheets) in which no cell is taken for a formula."""
    buffer = io.StringIO(newline="")
    buffer.write("\N{BYTE ORDER MARK}")
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    writer.writerow(header)
    writer.writerows([_plain(cell) for cell in row] for row in rows)
    return buffer.getvalue()


def _plain(cell: Any) -> str:
    text = str(cell)
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def _decode(data: bytes, name: str) -> str:
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _unreadable(
            name,
            _("Line %(line)d is not UTF-8. Save it as “CSV UTF-8” and send it again.") % {"line": line},
        ) from error
    if "\0" in text:
        raise _unreadable(name, _("It holds zero bytes, as no text does. Save it as “CSV UTF-8” and send it again."))
    return text


def _delimiter(header: str) -> str:
    """Return the delimiter by which the header names the most columns that are known."""

    def known(delimiter: str) -> int:
        try:
            cells = next(csv.reader([header], delimiter=delimiter), [])
        except csv.Error:
            return 0
        return sum(_column(cell) in (FILENAME, *COLUMNS) for cell in cells)

    return max(_DELIMITERS, key=known)


def _column(cell: str) -> str:
    name = re.sub(r"[\s-]+", "_", cell.strip().lower())
    return _ALIASES.get(name, name)


def _rows(reader: Iterator[list[str]], header: list[str], name: str) -> Iterator[TableRow]:
    first_line: dict[str, int] = {}
    count = 0
    for cells in reader:
        line: int = reader.line_num  # type: ignore[attr-defined]  # of csv.reader, which typeshed keeps private
        if not any(cell.strip() for cell in cells):
            continue
        count += 1
        if count > settings.IMPORT_MAX_ROWS:
            raise ProductError(
                ErrorCode.TOO_MANY_FILES,
                _("The table “%(name)s” has more than %(limit)d lines. Split the upload into parts.")
                % {"name": name, "limit": settings.IMPORT_MAX_ROWS},
                status=413,
            )
        named = dict(zip(header, (clean_text(cell) for cell in cells), strict=False))
        row = TableRow(
            line=line,
            filename=clean_name(named.get(FILENAME, "")),
            values={column: named[column] for column in COLUMNS if named.get(column)},
        )
        problem = _problem(row, cells, header)
        earlier = first_line.setdefault(_key(row.filename), line)
        if not problem and earlier != line:
            problem = _("“%(file)s” stands in line %(line)d already.") % {"file": row.filename, "line": earlier}
        yield TableRow(row.line, row.filename, row.values, problem)


def clean_text(text: str) -> str:
    """Return a cell's text on one line, without control characters and blanks around it."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text).split())


def _problem(row: TableRow, cells: list[str], header: list[str]) -> str:
    if not row.filename:
        return _("It has no file name.")
    if len(cells) > len(header):
        sentence = _("It has %(cells)d cells and the first line %(columns)d; put cells with a delimiter in quotes.")
        return sentence % {"cells": len(cells), "columns": len(header)}
    return details_problem(row.values)


def details_problem(values: dict[str, str]) -> str:
    """Return a sentence on what does not fit a work, or nothing."""
    for column, text in values.items():
        if len(text) > _LENGTHS[column]:
            return _("Its %(column)s has %(length)d characters; the limit is %(limit)d.") % {
                "column": column,
                "length": len(text),
                "limit": _LENGTHS[column],
            }
    if url := values.get("source_url"):
        try:
            _require_url(url)
        except ValidationError:
            return _("Its source_url is no address that begins with http:// or https://.")
    return ""


def _notes(header: list[str]) -> list[str]:
    notes = []
    if unknown := [column for column in header if column and column not in (FILENAME, *COLUMNS)]:
        notes.append(_("Columns that were not read: %(columns)s.") % {"columns": ", ".join(unknown)})
    if absent := [column for column in COLUMNS if column not in header]:
        notes.append(
            _("Columns that the table does not have, and are left empty: %(columns)s.") % {"columns": ", ".join(absent)}
        )
    return notes


def _key(path: str) -> str:
    parts = [part for part in path.strip().split("/") if part not in ("", ".")]
    return "/".join(parts).casefold()


def _unreadable(name: str, reason: str) -> ProductError:
    return ProductError(
        ErrorCode.CSV_UNREADABLE,
        _("The table “%(name)s” cannot be used. %(reason)s") % {"name": name, "reason": reason},
    )
