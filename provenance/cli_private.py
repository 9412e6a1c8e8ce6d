"""The command line's part for private catalogues: the engine, keyholders, and catalogues that nobody can read."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from provenance.hashing.code import HashCode
from provenance.hashing.hasher import HASHERS
from provenance.images.decode import DecodeError, decode
from provenance.matching.policy import POLICIES
from provenance.models.errors import ModelError
from provenance.private_lookup import engine_setup
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.client import Client, EncryptedIndex, local_evaluator, offer
from provenance.private_lookup.engine import Engine, Limits
from provenance.private_lookup.errors import BadInput, PrivateLookupError, Refused
from provenance.private_lookup.identity import Identity, PublicIdentity, Vault, write_whole
from provenance.private_lookup.index import PrivateIndex
from provenance.private_lookup.joint_keys import read_keys
from provenance.private_lookup.journal import read_journal
from provenance.private_lookup.parties import Keyholder
from provenance.private_lookup.registry import Registry
from provenance.private_lookup.scheme import CODE_LENGTHS, MAX_TAU, MOST_FALSE_HITS, largest_tau, scheme_for
from provenance.private_lookup.service import DistantKeyholder, RemoteKeyholder, serve
from provenance.private_lookup.tls import parse_address
from provenance.private_lookup.work import LocalWorkers
from provenance.private_lookup.work_ray import RayWorkers

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The engine of private catalogues.")
keyholders = typer.Typer(no_args_is_help=True, add_completion=False, help="Keep a share of a private catalogue's key.")
catalogues = typer.Typer(no_args_is_help=True, add_completion=False, help="Make and ask private catalogues.")
out = Console()
err = Console(stderr=True)

NOT_FOUND, BAD_INPUT = 1, 2
_LOOK_AGAIN = 1.0
_OFFERED = [name for name, hasher in HASHERS.items() if hasher.length in CODE_LENGTHS]

FolderArgument = Annotated[Path, typer.Argument(help="The keyholder's own folder.")]
AgreementOption = Annotated[Path, typer.Option("--agreement", help="The agreement's file.")]
KeysOption = Annotated[Path, typer.Option("--keys", help="Folder of the joint keys: 'keys' of any keyholder.")]
IdentityOption = Annotated[Path, typer.Option("--identity", help="Folder that 'catalogue identity' made.")]
CatalogueArgument = Annotated[Path, typer.Argument(help="The catalogue's folder.")]
KeyholdersOption = Annotated[
    list[str], typer.Option("--keyholder", help="A keyholder's socket, or host:port; all, in the agreement's order.")
]
MemoryOption = Annotated[
    float | None, typer.Option("--memory", min=1, help="GiB that engines may use, for blocks too.")
]
CoresOption = Annotated[int | None, typer.Option("--cores", min=1, help="Processors to keep busy; all by default.")]
PassphraseOption = Annotated[
    str | None,
    typer.Option(
        envvar="PROVENANCE_PASSPHRASE",
        show_envvar=True,
        help="Opens the folder's secrets. Asked for when left out, which keeps it out of the shell's history.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command()
def setup() -> None:
    """Install OpenFHE, for a Python that it has a wheel for, unless it is here; print that interpreter."""
    with _problems_as_sentences():
        _line(str(engine_setup.set_up()))


@app.command()
def engine() -> None:
    """Print the interpreter that private look-ups run under, or say what is missing."""
    with _problems_as_sentences():
        _line(str(engine_setup.find()))


@keyholders.command("create")
def create_keyholder(
    folder: FolderArgument,
    name: Annotated[str, typer.Argument(help="Letters, digits and '-'.")],
    passphrase: PassphraseOption = None,
) -> None:
    """Make a keyholder. Give the printed file to the others; keep the folder and its passphrase."""
    with _problems_as_sentences():
        Keyholder.create(folder, name, _passphrase(passphrase, new=True))
        _line(str(folder / "identity.json"))


@keyholders.command()
def agree(
    folder: FolderArgument,
    agreement: Annotated[Path, typer.Argument(help="The agreement's file.")],
    passphrase: PassphraseOption = None,
) -> None:
    """Agree, once and for all. Read the file first: it says who takes part and what may be asked."""
    with _problems_as_sentences(), Keyholder(folder, _passphrase(passphrase)) as keyholder:
        agreed = _agreement(agreement)
        keyholder.agree(agreed)
        _line(f"{keyholder.identity.name} has agreed to {agreed.digest}.")


@keyholders.command()
def generate(
    folder: FolderArgument,
    exchange: Annotated[Path, typer.Argument(help="A folder that all keyholders share, by whatever means.")],
    wait: Annotated[
        bool, typer.Option(help="Go on until the keys are there, instead of saying what is missing.")
    ] = True,
    passphrase: PassphraseOption = None,
) -> None:
    """Take part in making the joint keys."""
    with _problems_as_sentences(), Keyholder(folder, _passphrase(passphrase)) as keyholder:
        exchange.mkdir(exist_ok=True)
        said = ""
        while (missing := keyholder.generate(exchange)) is not None:
            if missing != said:
                _line(f"Waiting for {missing}.")
            if not wait:
                return
            said = missing
            time.sleep(_LOOK_AGAIN)
        _line(f"The joint keys are in {folder / 'keys'}.")


@keyholders.command("admit")
def admit_client(
    folder: FolderArgument,
    identity: Annotated[Path, typer.Argument(help="The client's identity.json.")],
    passphrase: PassphraseOption = None,
) -> None:
    """Answer a client's questions from now on, as many a day as was agreed."""
    with _problems_as_sentences(), Keyholder(folder, _passphrase(passphrase)) as keyholder:
        client = _public(identity)
        keyholder.admit_client(client)
        _line(f"{keyholder.identity.name} answers {client.name}.")


@keyholders.command("serve")
def serve_keyholder(
    folder: FolderArgument,
    catalogue: Annotated[Path, typer.Option("--catalogue", help="Folder of the catalogue's blocks and manifest.")],
    at: Annotated[
        Path | None, typer.Option("--socket", help="Where to answer; only this user may write to it.")
    ] = None,
    listen: Annotated[
        str | None, typer.Option(help="host:port to answer at instead, over TLS, to admitted clients and the holder.")
    ] = None,
    recomputed: Annotated[
        int | None,
        typer.Option(min=1, help="Compute only so many blocks again, chosen at random, before a share is given."),
    ] = None,
    cores: CoresOption = None,
    memory: MemoryOption = None,
    passphrase: PassphraseOption = None,
) -> None:
    """Check questions, and answer with shares, until Ctrl-C."""
    if (at is None) == (listen is None):
        raise typer.BadParameter("Give either --socket or --listen.")
    limits = Limits(memory=_bytes(memory), threads=cores or _usable_cores())
    opened = Keyholder(folder, _passphrase(passphrase), registry=catalogue, recomputed=recomputed, limits=limits)
    with _problems_as_sentences(), opened as keyholder:
        where = at or parse_address(listen or "")
        serve(keyholder, where, ready=lambda _port: _line(f"{keyholder.identity.name} answers at {at or listen}."))


@keyholders.command("journal")
def show_journal(folder: FolderArgument, as_json: JsonOption = False) -> None:
    """Prove a keyholder's journal, line by line, and print it. No passphrase is needed."""
    with _problems_as_sentences():
        public = _public(folder / "identity.json")
        entries, last = read_journal(folder / "journal.jsonl", public.signing)
    if as_json:
        rows = [{"time": entry.time, "event": entry.event, **entry.fields} for entry in entries]
        out.print_json(json.dumps({"entries": rows, "last": last}))
        return
    for entry in entries:
        _line(f"{entry.number:5}  {entry.time}  {entry.event}  {json.dumps(entry.fields)}")
    _line(f"{len(entries)} entries, each as {public.name} wrote it. The last: {last}")


@catalogues.command("identity")
def make_identity(
    folder: Annotated[Path, typer.Argument(help="Where the secret keys go.")],
    name: Annotated[str, typer.Argument(help="Letters, digits and '-'.")],
    passphrase: PassphraseOption = None,
) -> None:
    """Make the keys of a catalogue's holder, or of a client. Give the printed file to the keyholders."""
    with _problems_as_sentences():
        if (folder / "identity.json").exists():
            raise Refused(f"{folder} holds an identity already.")
        made = Identity.new(name)
        Vault(folder / "vault", _passphrase(passphrase, new=True)).keep("identity", made.to_bytes())
        write_whole(folder / "identity.json", json.dumps(made.public.to_dict()).encode())
        _line(str(folder / "identity.json"))


@catalogues.command("agreement")
def make_agreement(
    file: Annotated[Path, typer.Argument(help="Where the agreement goes.")],
    party: Annotated[list[Path], typer.Option(help="identity.json of each keyholder; the first leads.")],
    holder: Annotated[Path, typer.Option(help="identity.json of the catalogue's holder.")],
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
    """Write an agreement: who holds the key's shares, and what they answer."""
    with _problems_as_sentences():
        if algorithm not in _OFFERED:
            raise BadInput(f"There is no algorithm {algorithm} for this. Choose one of {', '.join(_OFFERED)}.")
        parties = tuple(_public(path) for path in party)
        fewer = None if needed == len(parties) else needed
        allowed = tuple(dict.fromkeys(policy or [Policy.BIT]))
        scheme_id = scheme_for(HASHERS[algorithm].length).id
        rates = [POLICIES[algorithm].false_match_rate(distance).measured for distance in range(MAX_TAU + 1)]
        chosen = largest_tau(rates, entries) if tau is None else tau
        if chosen is None:
            raise BadInput(f"Codes of {algorithm} are too alike by chance for {entries:,} entries. Choose longer ones.")
        made = Agreement(scheme_id, algorithm, chosen, allowed, parties, _public(holder), daily_answers, fewer)
        write_whole(file, made.to_json())
        _line(f"{file}: {made.digest}")
        _line(_chance_words(made, entries))


@catalogues.command()
def encrypt(
    pictures: Annotated[Path, typer.Argument(help="Folder of picture files; an entry's id is its path in there.")],
    catalogue: Annotated[Path, typer.Option("--into", help="The catalogue's folder; made when it is not there.")],
    agreement: AgreementOption,
    keys: KeysOption,
    identity: IdentityOption,
    passphrase: PassphraseOption = None,
) -> None:
    """Hash pictures and encrypt the hashes, on this machine. Neither leaves it in clear.

    What is in the catalogue already is left as it is, so that an interrupted run goes on. Files that are no pictures
    or too plain ones are named and left out; the exit status is then 2.
    """
    failed = False
    with _problems_as_sentences():
        agreed = _agreement(agreement)
        holder = _identity(identity, passphrase)
        if (catalogue / "manifest").exists():
            registry = Registry(catalogue, agreed)
        else:
            registry = Registry.create(catalogue, agreed, holder, catalogue.resolve().name)
        known = {name for block in registry.manifest.blocks for name in registry.ids(block)}
        entries = []
        for path in sorted(path for path in pictures.rglob("*") if path.is_file()):
            name = path.relative_to(pictures).as_posix()
            if name in known:
                continue
            try:
                entries.append((name, _code(path, agreed.algorithm).bits))
            except BadInput as problem:
                err.print(str(problem), style="red", markup=False, highlight=False, soft_wrap=True)
                failed = True
        if entries:
            with _engine(agreed) as running:
                registry.append(entries, holder, read_keys(keys, agreed), running)
        size = registry.manifest.entries
        _line(f"{catalogue}: {len(entries)} entries encrypted, {size} in all, state {registry.manifest.sequence}.")
        _line(_chance_words(agreed, size))
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
    """Mark entries as deleted; offer the new state to the keyholders afterwards."""
    with _problems_as_sentences():
        registry = Registry(catalogue, _agreement(agreement))
        manifest = registry.delete(names, _identity(identity, passphrase))
        _line(f"{catalogue}: {manifest.entries} entries left, state {manifest.sequence}.")


@catalogues.command("offer")
def offer_catalogue(
    catalogue: CatalogueArgument,
    agreement: AgreementOption,
    keyholder: KeyholdersOption,
    identity: Annotated[
        Path | None, typer.Option(help="The holder's folder; needed for keyholders at addresses.")
    ] = None,
    passphrase: PassphraseOption = None,
) -> None:
    """Have all keyholders check the catalogue's present state, after which they answer questions about it."""
    with _problems_as_sentences():
        registry = Registry(catalogue, _agreement(agreement))
        holder = _identity(identity, passphrase) if identity else None
        offer(registry, _keyholders(keyholder, registry.agreement, holder))
        _line(f"State {registry.manifest.sequence} of {registry.manifest.catalogue} is checked.")


@catalogues.command()
def ask(
    picture: Annotated[Path, typer.Argument(help="Picture file.")],
    catalogue: Annotated[Path, typer.Option("--catalogue", help="The catalogue's folder; it is evaluated here.")],
    agreement: AgreementOption,
    keys: KeysOption,
    identity: IdentityOption,
    keyholder: KeyholdersOption,
    who: Annotated[bool, typer.Option("--who", help="After a hit, ask which entries match.")] = False,
    cores: CoresOption = None,
    memory: MemoryOption = None,
    ray: Annotated[
        str | None, typer.Option("--ray", help="Evaluate on the nodes of the Ray cluster at this address.")
    ] = None,
    passphrase: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask whether a private catalogue has a picture. The exit status is 1 where it has not."""
    with _problems_as_sentences():
        agreed = _agreement(agreement)
        client = _identity(identity, passphrase)
        code = _code(picture, agreed.algorithm)
        registry = Registry(catalogue, agreed)
        joint = read_keys(keys, agreed)
        parties = _keyholders(keyholder, agreed, client)
        with ExitStack() as stack:
            workers = _workers(agreed, cores, memory)
            running = stack.enter_context(workers).engine
            spread = stack.enter_context(_ray(agreed, ray)) if ray else workers
            evaluator = local_evaluator(registry, joint, spread, {client.name: client.public})
            index: PrivateIndex = EncryptedIndex(Client(client, agreed, joint, running), registry, evaluator, parties)
            answer = index.ask(code, who=who)
    said: dict[str, Any] = {
        "matches": answer.matches,
        "places": [list(place) for place in answer.places],
        "entries": answer.entries,
        "tau": agreed.tau,
        "bits": agreed.scheme.code_length,
        "expected_false_hits": _expected(agreed, answer.entries),
        "missed": answer.missed,
        "seconds": round(answer.seconds, 2),
        "query_bytes": answer.query_bytes,
        "answer_bytes": answer.answer_bytes,
    }
    if as_json:
        out.print_json(json.dumps(said))
    else:
        words = "Something in the catalogue matches." if answer.matches else "Nothing in the catalogue matches."
        _line(f"{words} {answer.entries} entries, {answer.seconds:.1f} s.")
        for block, slot in answer.places:
            _line(f"block {block}, slot {slot}")
        _line(_chance_words(agreed, answer.entries))
    if not answer.matches:
        raise typer.Exit(NOT_FOUND)


def _code(path: Path, algorithm: str) -> HashCode:
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


def _chance_words(agreement: Agreement, entries: int) -> str:
    expected = _expected(agreement, entries)
    words = (
        f"At {entries:,} entries and {agreement.tau} of {agreement.scheme.code_length} bits, {expected['measured']:.1e}"
        f" match another picture by chance, measured (at most {expected['upper_bound']:.1e}, 95 % bound)."
    )
    if expected["measured"] > MOST_FALSE_HITS:
        words += " That is too many for an answer that nothing verifies: choose a smaller --tau or longer codes."
    return words


def _agreement(path: Path) -> Agreement:
    try:
        return Agreement.from_json(path.read_bytes())
    except OSError as problem:
        raise BadInput(f"{path} cannot be read: {problem.strerror}.") from problem


def _public(path: Path) -> PublicIdentity:
    try:
        return PublicIdentity.from_dict(json.loads(path.read_bytes()))
    except OSError as problem:
        raise BadInput(f"{path} cannot be read: {problem.strerror}.") from problem
    except ValueError as problem:
        raise BadInput(f"{path} is no identity.") from problem


def _identity(folder: Path, passphrase: str | None) -> Identity:
    if not (folder / "identity.json").exists():
        raise BadInput(f"{folder} holds no identity. Make one: provenance catalogue identity {folder} NAME")
    return Identity.from_bytes(Vault(folder / "vault", _passphrase(passphrase))["identity"])


def _passphrase(given: str | None, *, new: bool = False) -> str:
    if given is not None:
        return given
    return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=new, err=True))


def _engine(agreement: Agreement) -> Engine:
    limits = Limits(threads=_usable_cores())
    return Engine(agreement.scheme, len(agreement.sub_keys), agreement.digest, limits)


def _workers(agreement: Agreement, cores: int | None, memory: float | None) -> LocalWorkers:
    parties, digest = len(agreement.sub_keys), agreement.digest
    return LocalWorkers(agreement.scheme, parties, digest, cores=cores or _usable_cores(), memory=_bytes(memory))


def _keyholders(places: list[str], agreement: Agreement, identity: Identity | None) -> list[RemoteKeyholder]:
    """Return the keyholders at sockets or addresses, in the agreement's order."""
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


def _usable_cores() -> int:
    """Return what OMP_NUM_THREADS says, as for everything else that counts, or all that this process may use."""
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


def _bytes(gibibytes: float | None) -> int | None:
    return None if gibibytes is None else int(gibibytes * (1 << 30))


@contextmanager
def _problems_as_sentences() -> Iterator[None]:
    try:
        yield
    except PrivateLookupError as problem:
        _end(problem)


def _line(words: str) -> None:
    out.print(words, markup=False, highlight=False, soft_wrap=True)


def _end(problem: PrivateLookupError) -> NoReturn:
    err.print(str(problem), style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(BAD_INPUT) from problem
