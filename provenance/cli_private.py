"""The command line's part for private catalogues: making them, and asking what nobody can read.

A catalogue is encrypted or in shares, as its agreement says; the commands are the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from provenance.cli_keyholder import CoresOption, MemoryOption, in_bytes, usable_cores
from provenance.cli_members import (
    BAD_INPUT,
    JsonOption,
    PassphraseOption,
    ask_passphrase,
    err,
    line,
    out,
    problems_as_sentences,
    read_agreement,
    read_identity,
    read_public,
)
from provenance.cli_shares import ServersOption, remote_shareholders
from provenance.hashing.code import HashCode
from provenance.hashing.hasher import HASHERS
from provenance.images.decode import DecodeError, decode
from provenance.matching.policy import POLICIES
from provenance.models.errors import ModelError
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.client import Client, EncryptedIndex, local_evaluator, offer
from provenance.private_lookup.engine import Engine, Limits
from provenance.private_lookup.errors import BadInput, Refused
from provenance.private_lookup.holding import MANIFEST
from provenance.private_lookup.identity import Identity, Vault, write_whole
from provenance.private_lookup.index import Answer, PrivateIndex
from provenance.private_lookup.joint_keys import read_keys
from provenance.private_lookup.registry import Registry
from provenance.private_lookup.rotation import rotate as rotate_keys
from provenance.private_lookup.scheme import (
    CODE_LENGTHS,
    MAX_TAU,
    MOST_FALSE_HITS,
    Mode,
    largest_tau,
    scheme_for,
    shares_for,
)
from provenance.private_lookup.service import DistantKeyholder, RemoteKeyholder
from provenance.private_lookup.shares.catalogue import Catalogue
from provenance.private_lookup.shares.index import SharedIndex
from provenance.private_lookup.tls import parse_address
from provenance.private_lookup.watch import Alarm, Gateway
from provenance.private_lookup.work import LocalWorkers
from provenance.private_lookup.work_ray import RayWorkers

catalogues = typer.Typer(no_args_is_help=True, add_completion=False, help="Make and ask private catalogues.")

NOT_FOUND = 1
_OFFERED = [name for name, hasher in HASHERS.items() if hasher.length in CODE_LENGTHS]

_T = TypeVar("_T")
_RAY_HELP = (
    "Evaluate on the nodes of the Ray cluster at this address. Whoever controls a node controls this program, and so "
    "whatever it has: use only a cluster whose machines you trust with that."
)

AgreementOption = Annotated[Path, typer.Option("--agreement", help="The agreement's file.")]
KeysOption = Annotated[
    Path | None, typer.Option("--keys", help="Encrypted: folder of the joint keys, 'keys' of any keyholder.")
]
IdentityOption = Annotated[Path, typer.Option("--identity", help="Folder that 'catalogue identity' made.")]
PicturesArgument = Annotated[Path, typer.Argument(help="Folder of picture files; an entry's id is its path in there.")]
CatalogueArgument = Annotated[Path, typer.Argument(help="The catalogue's folder.")]
KeyholdersOption = Annotated[
    list[str] | None,
    typer.Option("--keyholder", help="Encrypted: a keyholder's socket, or host:port; all, in the agreement's order."),
]
@catalogues.command("identity")
def make_identity(
    folder: Annotated[Path, typer.Argument(help="Where the secret keys go.")],
    name: Annotated[str, typer.Argument(help="Letters, digits and '-'.")],
    passphrase: PassphraseOption = None,
) -> None:
    """Make the keys of a catalogue's holder, or of a client. Give the file that is named to the keyholders."""
    with problems_as_sentences():
        if (folder / "identity.json").exists():
            raise Refused(f"{folder} holds an identity already.")
        made = Identity.new(name)
        Vault(folder / "vault", ask_passphrase(passphrase, new=True)).keep("identity", made.to_bytes())
        write_whole(folder / "identity.json", json.dumps(made.public.to_dict()).encode())
        line(str(folder / "identity.json"))


@catalogues.command("agreement")
def make_agreement(
    file: Annotated[Path, typer.Argument(help="Where the agreement goes.")],
    party: Annotated[
        list[Path], typer.Option(help="identity.json of each keyholder, the first leads; or of each of three servers.")
    ],
    holder: Annotated[Path, typer.Option(help="identity.json of the catalogue's holder.")],
    mode: Annotated[
        Mode, typer.Option(help="Encrypted for keyholders, or in shares on three servers of which no two collude.")
    ] = Mode.ENCRYPTED,
    algorithm: Annotated[str, typer.Option(help=f"One of {', '.join(_OFFERED)}.")] = "pdq-v1",
    tau: Annotated[
        int | None,
        typer.Option(help="Bits that a match may differ in, 0 to 32; by default as many as --entries allow."),
    ] = None,
    entries: Annotated[int, typer.Option(help="How large the catalogue will be.")] = 10_000,
    policy: Annotated[list[Policy] | None, typer.Option(help="What may be asked; by default 'bit' alone.")] = None,
    daily_answers: Annotated[int, typer.Option(help="Questions of one client a day; keep it far below 100.")] = 20,
    needed: Annotated[
        int | None, typer.Option(min=2, help="How many keyholders answer together; all of them by default.")
    ] = None,
) -> None:
    """Write an agreement: who keeps what, and what is answered."""
    with problems_as_sentences():
        if algorithm not in _OFFERED:
            raise BadInput(f"There is no algorithm {algorithm} for this. Choose one of {', '.join(_OFFERED)}.")
        parties = tuple(read_public(path) for path in party)
        fewer = None if needed == len(parties) else needed
        allowed = tuple(dict.fromkeys(policy or [Policy.BIT]))
        length = HASHERS[algorithm].length
        scheme_id = shares_for(length) if mode is Mode.SHARES else scheme_for(length).id
        rates = [POLICIES[algorithm].false_match_rate(distance).measured for distance in range(MAX_TAU + 1)]
        chosen = largest_tau(rates, entries) if tau is None else tau
        if chosen is None:
            raise BadInput(f"Codes of {algorithm} are too alike by chance for {entries:,} entries. Choose longer ones.")
        made = Agreement(scheme_id, algorithm, chosen, allowed, parties, read_public(holder), daily_answers, fewer)
        write_whole(file, made.to_json())
        line(f"{file}: {made.digest}")
        line(chance_words(made, entries))


@catalogues.command()
def encrypt(
    pictures: PicturesArgument,
    catalogue: Annotated[Path, typer.Option("--into", help="The catalogue's folder; made when it is not there.")],
    agreement: AgreementOption,
    identity: IdentityOption,
    keys: KeysOption = None,
    passphrase: PassphraseOption = None,
) -> None:
    """Hash pictures and encrypt or share out the hashes, on this machine. Neither leaves it in clear.

    What is in the catalogue already is left as it is, so that an interrupted run goes on. Files that are no pictures
    or too plain ones are named and left out; the exit status is then 2.
    """
    failed = False
    with problems_as_sentences():
        agreed = read_agreement(agreement)
        holder = read_identity(identity, passphrase)
        kind = Catalogue if agreed.mode is Mode.SHARES else Registry
        if (catalogue / MANIFEST).exists():
            registry = kind(catalogue, agreed)
        else:
            registry = kind.create(catalogue, agreed, holder, catalogue.resolve().name)
        known = set(registry.names())
        entries = []
        for path in sorted(path for path in pictures.rglob("*") if path.is_file()):
            name = path.relative_to(pictures).as_posix()
            if name in known:
                continue
            try:
                entries.append((name, picture_code(path, agreed.algorithm).bits))
            except BadInput as problem:
                err.print(str(problem), style="red", markup=False, highlight=False, soft_wrap=True)
                failed = True
        if isinstance(registry, Catalogue):
            if entries:
                registry.append(entries, holder)
        elif entries:
            joint = read_keys(_needed(keys, "--keys"), agreed)
            with engine_for(agreed) as running:
                registry.append(entries, holder, joint, running)
        size = registry.manifest.entries
        done = "shared out" if agreed.mode is Mode.SHARES else "encrypted"
        line(f"{catalogue}: {len(entries)} entries {done}, {size} in all, state {registry.manifest.sequence}.")
        line(chance_words(agreed, size))
    if failed:
        raise typer.Exit(BAD_INPUT)


@catalogues.command("delete")
def delete_entries(
    catalogue: CatalogueArgument,
    names: Annotated[list[str], typer.Argument(help="Ids of entries.")],
    agreement: AgreementOption,
    identity: IdentityOption,
    passphrase: PassphraseOption = None,
) -> None:
    """Mark entries as deleted; offer the new state afterwards."""
    with problems_as_sentences():
        agreed = read_agreement(agreement)
        shared = agreed.mode is Mode.SHARES
        registry = Catalogue(catalogue, agreed) if shared else Registry(catalogue, agreed)
        manifest = registry.delete(names, read_identity(identity, passphrase))
        line(f"{catalogue}: {manifest.entries} entries left, state {manifest.sequence}.")


@catalogues.command()
def compact(
    catalogue: CatalogueArgument,
    pictures: PicturesArgument,
    agreement: AgreementOption,
    identity: IdentityOption,
    keys: KeysOption = None,
    passphrase: PassphraseOption = None,
) -> None:
    """Encrypt or share out anew what deleted entries lie beside, so that their bits are gone; offer it afterwards.

    An encrypted catalogue that has outgrown its kind of blocks, or shrunk below it, is encrypted anew as a whole.
    """
    with problems_as_sentences():
        agreed = read_agreement(agreement)
        holder, code_of = read_identity(identity, passphrase), _code_of(pictures, agreed)
        registry: Registry | Catalogue
        if agreed.mode is Mode.SHARES:
            registry = Catalogue(catalogue, agreed)
            registry.compact(code_of, holder)
        else:
            registry, joint = Registry(catalogue, agreed), read_keys(_needed(keys, "--keys"), agreed)
            with engine_for(agreed) as running:
                registry.compact(code_of, holder, joint, running)
        manifest = registry.manifest
        line(f"{catalogue}: {manifest.entries} entries in {len(manifest.blocks)} blocks, state {manifest.sequence}.")


@catalogues.command()
def rotate(
    pictures: PicturesArgument,
    catalogue: Annotated[Path, typer.Option("--from", help="The catalogue's folder; it stays as it is.")],
    old_agreement: Annotated[Path, typer.Option("--old-agreement", help="Its agreement.")],
    into: Annotated[Path, typer.Option("--into", help="Folder of the new catalogue, there once all of it is.")],
    agreement: AgreementOption,
    identity: IdentityOption,
    keys: KeysOption = None,
    passphrase: PassphraseOption = None,
) -> None:
    """Change keys: encrypt a catalogue's hashes anew under a new agreement. An interrupted run goes on."""
    with problems_as_sentences():
        old, agreed = Registry(catalogue, read_agreement(old_agreement)), read_agreement(agreement)
        holder, joint = read_identity(identity, passphrase), read_keys(_needed(keys, "--keys"), agreed)
        with engine_for(agreed) as running:
            new = rotate_keys(
                old,
                into,
                agreed,
                _code_of(pictures, agreed),
                holder,
                joint,
                running,
                lambda done, total: line(f"{done} of {total} entries"),
            )
        line(f"{into}: {new.manifest.entries} entries under {agreed.digest}. Offer it to its keyholders.")


@catalogues.command("offer")
def offer_catalogue(
    catalogue: CatalogueArgument,
    agreement: AgreementOption,
    keyholder: KeyholdersOption = None,
    server: ServersOption = None,
    identity: Annotated[
        Path | None, typer.Option(help="The holder's folder; needed for keyholders and servers at addresses.")
    ] = None,
    passphrase: PassphraseOption = None,
) -> None:
    """Have all keyholders or servers check the present state, after which they answer questions about it."""
    with problems_as_sentences():
        agreed = read_agreement(agreement)
        registry: Registry | Catalogue
        if agreed.mode is Mode.SHARES:
            registry = Catalogue(catalogue, agreed)
            holder = read_identity(_needed(identity, "--identity"), passphrase)
            remote_shareholders(agreed, holder, server).admit(registry.signed)
        else:
            registry = Registry(catalogue, agreed)
            offering = read_identity(identity, passphrase) if identity else None
            offer(registry, _keyholders(keyholder, agreed, offering))
        line(f"State {registry.manifest.sequence} of {registry.manifest.catalogue} is checked.")


@catalogues.command()
def ask(
    picture: Annotated[Path, typer.Argument(help="Picture file.")],
    agreement: AgreementOption,
    identity: IdentityOption,
    catalogue: Annotated[
        Path | None, typer.Option("--catalogue", help="Encrypted: the catalogue's folder; it is evaluated here.")
    ] = None,
    keys: KeysOption = None,
    keyholder: KeyholdersOption = None,
    server: ServersOption = None,
    who: Annotated[bool, typer.Option("--who", help="After a hit, ask which entries match.")] = False,
    cores: CoresOption = None,
    memory: MemoryOption = None,
    ray: Annotated[
        str | None, typer.Option("--ray", help=_RAY_HELP)
    ] = None,
    credential: Annotated[
        str | None,
        typer.Option("--for", help="Ask as a gateway: hold this person to a budget, and notice searches for a hash."),
    ] = None,
    passphrase: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask whether a private catalogue has a picture. The exit status is 1 where it has not."""
    with problems_as_sentences():
        agreed = read_agreement(agreement)
        passphrase = ask_passphrase(passphrase)
        client = read_identity(identity, passphrase)
        code = picture_code(picture, agreed.algorithm)
        watched = (Vault(identity / "vault", passphrase), credential) if credential else None
        if agreed.mode is Mode.SHARES:
            index: PrivateIndex = SharedIndex(remote_shareholders(agreed, client, server))
            answer, alarm = _answer(index, code, who, watched)
        else:
            registry = Registry(_needed(catalogue, "--catalogue"), agreed)
            joint = read_keys(_needed(keys, "--keys"), agreed)
            parties = _keyholders(keyholder, agreed, client)
            with ExitStack() as stack:
                workers = _workers(agreed, cores, memory)
                running = stack.enter_context(workers).engine
                spread = stack.enter_context(_ray(agreed, ray)) if ray else workers
                evaluator = local_evaluator(registry, joint, spread, {client.name: client.public})
                asker = Client(client, agreed, joint, running)
                answer, alarm = _answer(EncryptedIndex(asker, registry, evaluator, parties), code, who, watched)
    said: dict[str, Any] = {
        "mode": str(agreed.mode),
        "matches": answer.matches,
        "places": [list(place) for place in answer.places],
        "entries": answer.entries,
        "tau": agreed.tau,
        "bits": agreed.code_length,
        "expected_false_hits": _expected(agreed, answer.entries),
        "missed": answer.missed,
        "seconds": round(answer.seconds, 2),
        "query_bytes": answer.query_bytes,
        "answer_bytes": answer.answer_bytes,
        "manifest": answer.manifest,
        "commitments": list(answer.commitments),
        "alarm": str(alarm) if alarm else None,
    }
    if alarm:
        err.print(str(alarm), style="red", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        out.print_json(json.dumps(said))
    else:
        words = "Something in the catalogue matches." if answer.matches else "Nothing in the catalogue matches."
        line(f"{words} {answer.entries} entries, {answer.seconds:.1f} s.")
        for block, slot in answer.places:
            line(f"block {block}, slot {slot}")
        if answer.commitments:
            line(f"Computed from the shares that the holder signed: {', '.join(answer.commitments)}.")
        line(chance_words(agreed, answer.entries))
    if not answer.matches:
        raise typer.Exit(NOT_FOUND)


def _answer(
    index: PrivateIndex, code: HashCode, who: bool, watched: tuple[Vault, str] | None
) -> tuple[Answer, Alarm | None]:
    if watched is None:
        return index.ask(code, who=who), None
    vault, credential = watched
    return Gateway(index, vault, index.agreement.daily_answers).ask(code, credential, who=who)


def _code_of(pictures: Path, agreement: Agreement) -> Callable[[str], bytes]:
    def find(name: str) -> bytes:
        return picture_code(pictures / name, agreement.algorithm).bits

    return find


def picture_code(path: Path, algorithm: str) -> HashCode:
    """Return a picture's code.

    Raises:
        BadInput: it is no picture, or too plain.
    """
    try:
        (found,) = HASHERS[algorithm].hash([decode(path.read_bytes()).pixels])
    except KeyError as problem:
        raise BadInput(f"The agreement is about codes of {algorithm}, which are not made here.") from problem
    except OSError as problem:
        raise BadInput(f"{path} cannot be read: {problem.strerror}.") from problem
    except DecodeError as problem:
        raise BadInput(f"{path}: {problem.message}") from problem
    except ModelError as problem:
        raise BadInput(str(problem)) from problem
    if not found.usable:
        raise BadInput(f"{path} is too plain to be told from others.")
    return found.code


def _expected(agreement: Agreement, entries: int) -> dict[str, float]:
    rate = POLICIES[agreement.algorithm].false_match_rate(agreement.tau)
    return {"measured": entries * rate.measured, "upper_bound": entries * rate.upper_bound}


def chance_words(agreement: Agreement, entries: int) -> str:
    expected = _expected(agreement, entries)
    words = (
        f"At {entries:,} entries and {agreement.tau} of {agreement.code_length} bits, {expected['measured']:.1e}"
        f" match another picture by chance, measured (at most {expected['upper_bound']:.1e}, 95 % bound)."
    )
    if expected["measured"] > MOST_FALSE_HITS:
        words += " That is too many for an answer that nothing verifies: choose a smaller --tau or longer codes."
    return words


def _needed(value: _T | None, option: str) -> _T:
    """Refuse to go on without what this catalogue's mode needs."""
    if value is None:
        raise BadInput(f"{option} is needed for a catalogue of this mode.")
    return value


def engine_for(agreement: Agreement) -> Engine:
    limits = Limits(threads=usable_cores())
    return Engine(agreement.scheme, len(agreement.sub_keys), agreement.digest, limits)


def _workers(agreement: Agreement, cores: int | None, memory: float | None) -> LocalWorkers:
    parties, digest = len(agreement.sub_keys), agreement.digest
    return LocalWorkers(agreement.scheme, parties, digest, cores=cores or usable_cores(), memory=in_bytes(memory))


def _keyholders(given: list[str] | None, agreement: Agreement, identity: Identity | None) -> list[RemoteKeyholder]:
    """Return the keyholders at sockets or addresses, in the agreement's order."""
    places = _needed(given, "--keyholder")
    if len(places) != len(agreement.parties):
        raise Refused(f"All {len(agreement.parties)} keyholders are needed; there are {len(places)}.")
    found: list[RemoteKeyholder] = []
    for place, party in zip(places, agreement.parties, strict=True):
        if Path(place).is_socket() or ":" not in place:
            found.append(RemoteKeyholder(Path(place)))
        elif identity is None:
            raise BadInput(f"{party.name} is asked at an address: --identity says as whom.")
        else:
            found.append(DistantKeyholder(parse_address(place), identity, party))
    return found


@contextmanager
def _ray(agreement: Agreement, address: str) -> Iterator[RayWorkers]:
    workers = RayWorkers(address, agreement.scheme, len(agreement.sub_keys), agreement.digest)
    try:
        yield workers
    finally:
        workers.close()
