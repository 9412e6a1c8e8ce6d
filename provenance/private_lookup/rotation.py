"""New keys for a catalogue: its holder encrypts the hashes anew, under a new agreement.

Nobody can change the keys of a ciphertext without the old keyholders, so that what was lost, or is not trusted any
more, is left behind whole. The old catalogue answers until the new one is there. The new one is there when its folder
is; until then what is done of it lies beside, for the next try.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.engine import Engine, JointKeys
from provenance.private_lookup.errors import Refused
from provenance.private_lookup.holding import MANIFEST
from provenance.private_lookup.identity import Identity
from provenance.private_lookup.registry import Registry


def rotate(
    old: Registry,
    folder: Path,
    agreement: Agreement,
    code_of: Callable[[str], bytes],
    holder: Identity,
    keys: JointKeys,
    engine: Engine,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Registry:
    """Encrypt a catalogue's entries anew. Called again after it was interrupted, it goes on after the last block.

    Args:
        old: the catalogue, of any agreement, in its holder's folder; it stays as it is.
        folder: of the new catalogue; not there yet.
        agreement: the new one.
        code_of: returns an entry's packed code for the new agreement; nothing here can read it out of ciphertexts.
        keys, engine: of the new agreement.
        progress: told how many entries are done, and of how many, after each block.

    Raises:
        Refused: ``folder`` is there already, or this is not the holder of the new agreement.
        BadInput: an entry has no code any more; delete it first.
    """
    if folder.exists():
        raise Refused(f"{folder} is there already.")
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    if (unfinished / MANIFEST).exists():
        new = Registry(unfinished, agreement)
    else:
        new = Registry.create(unfinished, agreement, holder, old.manifest.catalogue)
    wanted = old.living()
    gone = set(new.living()) - set(wanted)
    if gone:
        new.delete(gone, holder)
    done = set(new.living())
    left = [name for name in wanted if name not in done]
    size = agreement.scheme.entries(agreement.scheme.group_for(len(wanted)))
    while left:
        some, left = left[:size], left[size:]
        new.append([(name, code_of(name)) for name in some], holder, keys, engine, expected=len(wanted))
        progress(len(wanted) - len(left), len(wanted))
    unfinished.rename(folder)
    return Registry(folder, agreement)
