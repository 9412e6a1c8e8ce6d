"""Tables of titles: what is read, what is refused, which file a line belongs to, and what is written."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from webapp.catalogues.table import TableRow, csv_text, table_match, table_read
from webapp.errors import ErrorCode, ProductError


def read(text: str, encoding: str = "utf-8") -> list[TableRow]:
    return table_read(text.encode(encoding), "titles.csv").rows


def test_it_works() -> None:
    table = table_read(b'filename,title\r\na.jpg,"Sea, at ""night"""\r\n\r\nb.jpg,\r\n', "titles.csv")
    assert table.rows == [
        TableRow(2, "a.jpg", {"title": 'Sea, at "night"'}),
        TableRow(4, "b.jpg", {}),
    ]
    assert "creator, licence, source_url, external_id" in table.notes[0]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiters_and_encodings(delimiter: str, encoding: str) -> None:
    text = delimiter.join(("title", "filename", "creator")) + "\n" + delimiter.join(("Größe", "a.jpg", "Ada"))
    assert read(text, encoding) == [TableRow(2, "a.jpg", {"title": "Größe", "creator": "Ada"})]


def test_names_of_columns_are_forgiving() -> None:
    rows = read("File Name;License;Author;Source-URL;ID\na.jpg;CC0;Ada;https://e.org;7\n")
    assert rows[0].values == {
        "licence": "CC0",
        "creator": "Ada",
        "source_url": "https://e.org",
        "external_id": "7",
    }


def test_unknown_columns_are_named() -> None:
    notes = table_read(b"filename,title,price,colour\na.jpg,A,3,red\n", "titles.csv").notes
    assert "price, colour" in notes[0]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no column"),
        (b"title,creator\nA,B\n", r"no column .filename.*title, creator"),
        (b"filename,title,title\n", "title.* twice"),
        ("filename,title\na.jpg,Größe\n".encode("latin-1"), "Line 2 is not UTF-8.*CSV UTF-8"),
        (b"filename,title\na.jpg,x\0y\n", "zero bytes"),
        (b'filename,title\na.jpg,"never closed\n', "cannot be read"),
        (b"filename\n" + b"x" * 200_000 + b"\n", "Line 2.*field larger"),
    ],
)
def test_what_cannot_be_read_is_said(data: bytes, words: str) -> None:
    with pytest.raises(ProductError, match=f"(?s)titles.csv.*{words}") as refused:
        table_read(data, "titles.csv")
    assert refused.value.code == ErrorCode.CSV_UNREADABLE


def test_too_many_lines_are_refused(settings: Any) -> None:
    settings.IMPORT_MAX_ROWS = 3
    with pytest.raises(ProductError, match="more than 3 lines") as refused:
        read("filename\n" + "\n".join(f"{n}.jpg" for n in range(4)))
    assert refused.value.code == ErrorCode.TOO_MANY_FILES


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (",A title", "no file name"),
        (f"a.jpg,{'x' * 201}", "title has 201 characters; the limit is 200"),
        ("a.jpg,A,B,C,D,E,F", "7 cells"),
        ("a.jpg,A,,,javascript:alert(1)", "source_url"),
        ("a.jpg,A,,,ftp://example.org/a", "source_url"),
        ("a.jpg,A,,,no address", "source_url"),
    ],
)
def test_a_line_that_cannot_be_used_says_why(line: str, words: str) -> None:
    (row,) = read(f"filename,title,creator,licence,source_url,external_id\n{line}\n")
    assert words in row.problem


def test_a_file_named_twice_is_said() -> None:
    first, second = read("filename,title\nA.jpg,one\na.JPG,two\n")
    assert not first.problem
    assert "line 2 already" in second.problem


def test_control_characters_become_blanks() -> None:
    (row,) = read('filename,title\na.jpg,"two\nlines\x1b[31m"\n')
    assert row.values["title"] == "two lines [31m"


def match(lines: list[str], files: list[str]) -> dict[str, str]:
    rows = [TableRow(number, name, {}) for number, name in enumerate(lines, 2)]
    return {files[position]: row.filename for position, row in table_match(rows, files).found.items()}


def test_lines_find_their_files() -> None:
    assert match(["a.jpg"], ["a.jpg"]) == {"a.jpg": "a.jpg"}
    assert match(["A.JPG"], ["prints/a.jpg"]) == {"prints/a.jpg": "A.JPG"}
    assert match(["./x/a.jpg"], ["x/a.jpg", "y/a.jpg"]) == {"x/a.jpg": "./x/a.jpg"}
    assert match(["x/a.jpg"], ["top/x/a.jpg", "top/y/a.jpg"]) == {"top/x/a.jpg": "x/a.jpg"}
    assert match(["a.jpg", "x/a.jpg"], ["x/a.jpg", "a.jpg"]) == {"x/a.jpg": "x/a.jpg", "a.jpg": "a.jpg"}
    assert match(["a.jpg"], ["ba.jpg"]) == {}


def test_a_bare_name_that_fits_several_files_is_unclear() -> None:
    row = TableRow(2, "a.jpg", {})
    matching = table_match([row], ["x/a.jpg", "y/a.jpg", "b.jpg"])
    assert matching.found == {}
    assert matching.unclear == {0: row, 1: row}
    assert matching.missing == []


def test_a_line_without_its_file_is_missing() -> None:
    row = TableRow(2, "gone.jpg", {})
    assert table_match([row], ["a.jpg"]).missing == [row]


def test_what_is_written_is_no_formula() -> None:
    cells = ["=1+1", "+1", "-1", "@x", "\tx", "plain", 'with "quotes", and commas', 7]
    written = csv_text(["a"] * len(cells), [cells])
    assert written.startswith("\N{BYTE ORDER MARK}")
    lines = list(csv.reader(io.StringIO(written.removeprefix("\N{BYTE ORDER MARK}"), newline="")))
    assert lines[1] == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "plain", 'with "quotes", and commas', "7"]
