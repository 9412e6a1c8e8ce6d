"""Where the site listens, and whether it answers."""

from __future__ import annotations

import errno
import http.client
import socket
from collections.abc import Sequence

_PORTS_TO_TRY = 50


class AddressError(RuntimeError):
    """The site cannot listen where it was told to; the sentence says what to do."""


def free_port(host: str, wanted: int) -> int:
    """Return the wanted port or the next one on which nobody listens.

    Raises:
        AddressError: none of fifty is free, or the host is none of ours.
    """
    for port in range(wanted, min(wanted + _PORTS_TO_TRY, 65536)):
        if _can_listen(host, port):
            return port
    raise AddressError(f"No port from {wanted} on is free at {host}. Set SITE_PORT to one that is.")


def url_of(host: str, port: int) -> str:
    """Return the address to open in a browser."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def answers_well(host: str, port: int, path: str, allowed_hosts: Sequence[str]) -> bool:
    """Return whether the site that listens there answers 200: at /healthz it runs, at /readyz it can work."""
    # Where it listens at every address, ask at the nearest.
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    known_as = "127.0.0.1" if {"127.0.0.1", "*"} & set(allowed_hosts) else allowed_hosts[0].removeprefix(".")
    connection = http.client.HTTPConnection(reachable, port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": known_as})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _can_listen(host: str, port: int) -> bool:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
            trial.listen(1)
    except socket.gaierror as error:
        raise AddressError(f"SITE_HOST {host!r} is not known: {error.strerror}.") from None
    except PermissionError:
        raise AddressError(f"Port {port} is for root only. Set SITE_PORT to 1024 or above.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise AddressError(f"SITE_HOST {host!r} is no address of this machine: {error.strerror}.") from None
    return True
