"""The site's own identity: as a client of private catalogues it asks under one name, and signs its questions."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from provenance.private_lookup.identity import Identity
from webapp.artworks.sealing import seal, unseal
from webapp.private.storage import place

_NAME, _CONTEXT = "site", "private-site"


def site_identity() -> Identity:
    """Return the site's identity, made at its first use; its secret keys lie sealed under the site's secret."""
    path = place() / "site.sealed"
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(seal(Identity.new(_NAME).to_bytes(), _CONTEXT))
            file.flush()
            os.fsync(file.fileno())
        try:
            # Of two that begin at once the first is right.
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            Path(temporary).unlink()
    return Identity.from_bytes(unseal(path.read_bytes(), _CONTEXT))
