"""Readers of environment variables that refuse a bad value instead of guessing.

A variable that is unset and one that is set to nothing mean the same: the default. Every refusal is an
``ImproperlyConfigured`` that names the variable and what it accepts; the value of a secret is never in it.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, overload
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# libpq's connection parameters that a site may need beyond host, name, user and password.
_DATABASE_OPTIONS = frozenset(
    {
        "application_name",
        "channel_binding",
        "connect_timeout",
        "options",
        "sslcert",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "target_session_attrs",
    }
)


def env_str(name: str, default: str, *, choices: Collection[str] | None = None) -> str:
    """Return the variable's text without surrounding blanks.

    Raises:
        ImproperlyConfigured: it is none of ``choices``.
    """
    value = _raw(name)
    if value is None:
        return default
    if choices is not None and value not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
    return value


def env_bool(name: str, default: bool) -> bool:
    """Return whether the variable says true, yes, on or 1 (or false, no, off or 0), in any case.

    Raises:
        ImproperlyConfigured: it says anything else.
    """
    value = _raw(name)
    if value is None:
        return default
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise ImproperlyConfigured(f"{name} must be true or false (also yes/no, on/off, 1/0), not {value!r}.")


def env_int(name: str, default: int, minimum: int | None = None, maximum: int | None = None) -> int:
    """Return the variable as a whole number in decimal digits, within the bounds (both inclusive).

    Raises:
        ImproperlyConfigured: it is not a whole number, or out of bounds.
    """
    value = _raw(name)
    if value is None:
        return default
    accepted = _accepted_range(minimum, maximum)
    # int() also takes "1_000", "+5" and digits of other scripts, which in a settings file are slips.
    if not (value.isascii() and value.removeprefix("-").isdigit()):
        raise ImproperlyConfigured(f"{name} must be {accepted}, not {value!r}.")
    number = int(value)
    if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
        raise ImproperlyConfigured(f"{name} must be {accepted}, not {number}.")
    return number


def env_list(name: str, default: list[str]) -> list[str]:
    """Return the variable's comma-separated entries without surrounding blanks.

    Raises:
        ImproperlyConfigured: an entry is empty.
    """
    value = _raw(name)
    if value is None:
        return list(default)
    entries = [entry.strip() for entry in value.split(",")]
    if not all(entries):
        raise ImproperlyConfigured(f"{name} must be entries with commas between, none empty, not {value!r}.")
    return entries


def env_url(name: str, default: str, *, schemes: Collection[str] = ("http", "https")) -> str:
    """Return the variable as an absolute URL without a slash at its end.

    Raises:
        ImproperlyConfigured: it has another scheme, no host, a bad port, or a query or fragment.
    """
    value = _raw(name)
    if value is None:
        return default
    accepted = f"{name} must be an absolute URL such as {default!r}, with scheme {' or '.join(schemes)}"
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018  (a port that is no number is only found when it is asked for)
    except ValueError as error:
        raise ImproperlyConfigured(f"{accepted}: {error}.") from None
    if parts.scheme not in schemes or not parts.hostname or parts.query or parts.fragment:
        raise ImproperlyConfigured(f"{accepted}, and neither query nor fragment.")
    return value.rstrip("/")


@overload
def env_secret(name: str, default: str) -> str: ...
@overload
def env_secret(name: str, default: None = None) -> str | None: ...
def env_secret(name: str, default: str | None = None) -> str | None:
    """Return the secret in the variable, or in the file that ``<name>_FILE`` names less its final newline.

    Raises:
        ImproperlyConfigured: both are set, or the file cannot be read, is not UTF-8 or is empty.
    """
    value = _raw(name)
    path = _raw(f"{name}_FILE")
    if path is None:
        return default if value is None else value
    if value is not None:
        raise ImproperlyConfigured(f"Set {name} or {name}_FILE, not both.")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name}_FILE must name a readable file; {path!r} cannot be read: {error.strerror}."
        ) from None
    except UnicodeDecodeError:
        raise ImproperlyConfigured(f"{name}_FILE must name a file of UTF-8 text; {path!r} is not.") from None
    text = text.rstrip("\r\n")
    if not text.strip():
        raise ImproperlyConfigured(f"{name}_FILE must name a file with the secret in it; {path!r} is empty.")
    return text


def env_database(name: str) -> dict[str, Any] | None:
    """Return the PostgreSQL URL in the variable (or ``<name>_FILE``) as an entry of Django's DATABASES.

    The forms of libpq (PostgreSQL manual, "Connection URIs"): user, password, host and database with percent
    escapes; a Unix socket's folder as the host (``postgresql://user@%2Frun%2Fpostgresql/name``) or as
    ``?host=/run/postgresql``; further parameters such as ``?sslmode=verify-full`` go to OPTIONS. One host.

    Raises:
        ImproperlyConfigured: anything else. The message never shows the URL, which may hold a password.
    """
    url = env_secret(name)
    if url is None:
        return None
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgresql", "postgres"):
        raise _bad_database(name, "it must begin with postgresql:// or postgres://")
    if "#" in rest:
        raise _bad_database(name, "it has a '#'; write one in a password as %23")
    location, _, query = rest.partition("?")
    authority, _, database = location.partition("/")
    credentials, _, address = authority.rpartition("@")
    user, _, password = credentials.partition(":")
    host, port = _host_and_port(name, address)
    options = _database_options(name, query)
    socket_folder = options.pop("host", None)
    if socket_folder is not None:
        if host:
            raise _bad_database(name, "it names a host twice, before and after the '?'")
        host = socket_folder
    if not database:
        raise _bad_database(name, "it names no database after the host's '/'")
    if "/" in database:
        raise _bad_database(name, "its database name has a '/'; write one as %2F")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _unescape(name, database),
        "USER": _unescape(name, user),
        "PASSWORD": _unescape(name, password),
        "HOST": host,
        "PORT": port,
        "OPTIONS": options,
    }


def _raw(name: str) -> str | None:
    return os.environ.get(name, "").strip() or None


def _accepted_range(minimum: int | None, maximum: int | None) -> str:
    if minimum is not None and maximum is not None:
        return f"a whole number from {minimum} to {maximum}"
    if minimum is not None:
        return f"a whole number of at least {minimum}"
    if maximum is not None:
        return f"a whole number of at most {maximum}"
    return "a whole number"


def _bad_database(name: str, reason: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        f"{name} must be like postgresql://user:password@host:5432/database?sslmode=require: {reason}."
    )


def _unescape(name: str, text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise _bad_database(name, "a percent escape in it is not UTF-8") from None


def _host_and_port(name: str, address: str) -> tuple[str, str]:
    if "," in address:
        raise _bad_database(name, "it names several hosts; name one")
    if address.startswith("["):
        host, bracket, rest = address[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise _bad_database(name, "its IPv6 address must stand in [brackets]")
        port = rest[1:]
    else:
        host, _, port = address.partition(":")
        host = _unescape(name, host)
    if port and not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise _bad_database(name, "its port must be a number from 1 to 65535")
    return host, port


def _database_options(name: str, query: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for pair in query.split("&") if query else ():
        key, equals, value = (_unescape(name, text) for text in pair.partition("="))
        if not equals or (key != "host" and key not in _DATABASE_OPTIONS):
            accepted = ", ".join(sorted(_DATABASE_OPTIONS | {"host"}))
            raise _bad_database(name, f"after the '?' stand name=value pairs with '&' between, of {accepted}")
        if key in options:
            raise _bad_database(name, f"it gives {key} twice")
        if key == "host" and not value.startswith("/"):
            raise _bad_database(name, "host= must name a Unix socket's folder, beginning with '/'")
        if key == "sslmode" and value not in _SSL_MODES:
            raise _bad_database(name, f"sslmode must be one of {', '.join(_SSL_MODES)}")
        if key == "connect_timeout" and not (value.isascii() and value.isdigit()):
            raise _bad_database(name, "connect_timeout must be a whole number of seconds")
        options[key] = value
    return options
