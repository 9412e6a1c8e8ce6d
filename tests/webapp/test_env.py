"""The readers of environment variables: what each takes, what each refuses, and what a refusal says."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured

from webapp.env import env_bool, env_database, env_int, env_list, env_secret, env_str, env_url

NAME = "PROVENANCE_TEST_VARIABLE"


@pytest.fixture
def variable(monkeypatch):
    """Set the variable that the tests read; a name other than the usual may be given."""

    def set_to(value: str, name: str = NAME) -> None:
        monkeypatch.setenv(name, value)

    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.delenv(f"{NAME}_FILE", raising=False)
    return set_to


def refusal(reader, *args, **kwargs) -> str:
    with pytest.raises(ImproperlyConfigured) as caught:
        reader(NAME, *args, **kwargs)
    message = str(caught.value)
    assert NAME in message
    return message


@pytest.mark.parametrize("unset", [None, "", "  "])
def test_nothing_means_the_default(variable, unset):
    if unset is not None:
        variable(unset)
    assert env_str(NAME, "a") == "a"
    assert env_bool(NAME, True) is True
    assert env_int(NAME, 7) == 7
    assert env_list(NAME, ["x"]) == ["x"]
    assert env_url(NAME, "http://a.example") == "http://a.example"
    assert env_secret(NAME) is None
    assert env_secret(NAME, "s") == "s"
    assert env_database(NAME) is None


def test_str(variable):
    variable(" some text ")
    assert env_str(NAME, "") == "some text"


def test_str_of_choices(variable):
    variable("INFO")
    assert env_str(NAME, "DEBUG", choices=("DEBUG", "INFO")) == "INFO"
    variable("LOUD")
    assert "DEBUG, INFO" in refusal(env_str, "DEBUG", choices=("DEBUG", "INFO"))


@pytest.mark.parametrize(
    ("text", "value"), [("True", True), ("1", True), ("ON", True), ("no", False), ("0", False)]
)
def test_bool(variable, text, value):
    variable(text)
    assert env_bool(NAME, not value) is value


def test_bool_refuses(variable):
    variable("ja")
    assert "true or false" in refusal(env_bool, False)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("-3", -3), ("007", 7)])
def test_int(variable, text, value):
    variable(text)
    assert env_int(NAME, 99) == value


@pytest.mark.parametrize("text", ["1.5", "ten", "1_000", "+5", "0x10", "--1", "-", "٣"])
def test_int_refuses_what_is_no_whole_number(variable, text):
    variable(text)
    assert "whole number" in refusal(env_int, 1)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"minimum": 6}, "at least 6"),
        ({"maximum": 4}, "at most 4"),
        ({"minimum": 6, "maximum": 9}, "from 6 to 9"),
    ],
)
def test_int_refuses_out_of_bounds(variable, bounds, words):
    variable("5")
    assert words in refusal(env_int, 7, **bounds)


def test_int_bounds_are_inclusive(variable):
    variable("5")
    assert env_int(NAME, 1, minimum=5, maximum=5) == 5


def test_list(variable):
    variable("a.example, b.example")
    assert env_list(NAME, []) == ["a.example", "b.example"]


def test_list_refuses_empty_entries(variable):
    variable("a.example,,b.example")
    assert "none empty" in refusal(env_list, [])


def test_list_default_is_a_copy(variable):
    default = ["a"]
    env_list(NAME, default).append("b")
    assert default == ["a"]


def test_url(variable):
    variable("https://pictures.example/")
    assert env_url(NAME, "http://127.0.0.1:8000") == "https://pictures.example"


@pytest.mark.parametrize(
    "text",
    ["pictures.example", "ftp://a.example", "https://", "http://a:port", "http://[::1", "http://a/?q=1"],
)
def test_url_refuses(variable, text):
    variable(text)
    assert "http or https" in refusal(env_url, "http://127.0.0.1:8000")


def test_secret_from_variable(variable):
    variable("s3cret")
    assert env_secret(NAME) == "s3cret"


def test_secret_from_file(variable, tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text(" with blanks \n", encoding="utf-8")
    variable(str(file), f"{NAME}_FILE")
    assert env_secret(NAME) == " with blanks "


def test_secret_given_twice_is_refused_without_telling_it(variable, tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text("from-file")
    variable("from-variable")
    variable(str(file), f"{NAME}_FILE")
    message = refusal(env_secret)
    assert "not both" in message
    assert "from-" not in message


def test_secret_file_missing_empty_or_binary(variable, tmp_path: Path):
    variable(str(tmp_path / "absent"), f"{NAME}_FILE")
    assert "cannot be read" in refusal(env_secret)
    empty = tmp_path / "empty"
    empty.write_text("\n")
    variable(str(empty), f"{NAME}_FILE")
    assert "is empty" in refusal(env_secret)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    variable(str(binary), f"{NAME}_FILE")
    assert "UTF-8" in refusal(env_secret)


DATABASES = [
    (
        "postgresql://ann:p%40ss%2Fw%3Ard@db.example:6432/pictures?sslmode=verify-full&connect_timeout=5",
        {
            "USER": "ann",
            "PASSWORD": "p@ss/w:rd",
            "HOST": "db.example",
            "PORT": "6432",
            "NAME": "pictures",
            "OPTIONS": {"sslmode": "verify-full", "connect_timeout": "5"},
        },
    ),
    (
        "postgres://ann@[2001:db8::1]:5433/p",
        {"USER": "ann", "PASSWORD": "", "HOST": "2001:db8::1", "PORT": "5433", "NAME": "p", "OPTIONS": {}},
    ),
    (
        "postgresql://ann@%2FRun%2FPostgreSQL/my%20base",
        {
            "USER": "ann",
            "PASSWORD": "",
            "HOST": "/Run/PostgreSQL",
            "PORT": "",
            "NAME": "my base",
            "OPTIONS": {},
        },
    ),
    (
        "postgresql:///p?host=/run/a%20b",
        {"USER": "", "PASSWORD": "", "HOST": "/run/a b", "PORT": "", "NAME": "p", "OPTIONS": {}},
    ),
    (
        "postgresql://a:b@c@h/p",
        {"USER": "a", "PASSWORD": "b@c", "HOST": "h", "PORT": "", "NAME": "p", "OPTIONS": {}},
    ),
]


@pytest.mark.parametrize(("url", "expected"), DATABASES)
def test_database(variable, url, expected):
    variable(url)
    assert env_database(NAME) == {"ENGINE": "django.db.backends.postgresql", **expected}


@pytest.mark.parametrize(("url", "expected"), DATABASES[:4])
def test_database_agrees_with_libpq(url, expected):
    parsed = psycopg.conninfo.conninfo_to_dict(url)
    assert parsed.get("host", "") == expected["HOST"]
    assert parsed.get("user", "") == expected["USER"]
    assert parsed.get("password", "") == expected["PASSWORD"]
    assert str(parsed.get("port", "")) == expected["PORT"]
    assert parsed["dbname"] == expected["NAME"]


def test_database_from_file(variable, tmp_path: Path):
    file = tmp_path / "url"
    file.write_text("postgresql://ann@h/p\n")
    variable(str(file), f"{NAME}_FILE")
    database = env_database(NAME)
    assert database is not None
    assert database["HOST"] == "h"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://ann:hidden@h/p", "begin with postgresql://"),
        ("ann:hidden@h/p", "begin with postgresql://"),
        ("postgresql://ann:hidden@h", "names no database"),
        ("postgresql://ann:hidden@h/", "names no database"),
        ("postgresql://ann:hidden@h/a/b", "%2F"),
        ("postgresql://ann:hidden@h/p#x", "%23"),
        ("postgresql://ann:hidden@h1,h2/p", "several hosts"),
        ("postgresql://ann:hidden@h:70000/p", "port"),
        ("postgresql://ann:hidden@h:5a/p", "port"),
        ("postgresql://ann:hidden@[::1/p", "brackets"),
        ("postgresql://ann:hidden@h/p?sslmode=maybe", "verify-full"),
        ("postgresql://ann:hidden@h/p?ssl=true", "sslmode, sslrootcert"),
        ("postgresql://ann:hidden@h/p?sslmode", "name=value"),
        ("postgresql://ann:hidden@h/p?sslmode=require&sslmode=disable", "twice"),
        ("postgresql://ann:hidden@h/p?connect_timeout=soon", "seconds"),
        ("postgresql://ann:hidden@h/p?host=/run", "twice"),
        ("postgresql://ann:hidden@/p?host=db.example", "Unix socket"),
        ("postgresql://ann:hidden%FF@h/p", "UTF-8"),
    ],
)
def test_database_refuses_without_telling_the_password(variable, url, reason):
    variable(url)
    message = refusal(env_database)
    assert reason in message
    assert "hidden" not in message
