"""The socket on which a browser watches one job: who may, what it says, and in which order."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.layers import channel_layers, get_channel_layer
from django.db import connections
from django.test import Client

from tests.webapp.conftest import Cast
from webapp.asgi import application
from webapp.jobs import consumers
from webapp.jobs.models import Job
from webapp.jobs.selectors import job_snapshot
from webapp.jobs.services import Progress, group_of, job_cancel, job_claim, job_create, job_succeed
from webapp.visitors import ensure_visitor

pytestmark = pytest.mark.django_db(transaction=True)

_SECONDS = 20
STEPS = [("one", "First"), ("two", "Second")]


class Socket(ApplicationCommunicator):
    """A browser's end of a socket to a job. (The one of channels needs daphne, which the site does not run on.)"""

    def __init__(self, job_id: uuid.UUID, client: Client, origin: str) -> None:
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
        super().__init__(
            application,
            {
                "type": "websocket",
                "path": f"/ws/jobs/{job_id}/",
                "query_string": b"",
                "headers": [
                    (b"origin", origin.encode()),
                    (b"cookie", cookies.encode()),
                    (b"host", b"localhost"),
                ],
                "subprotocols": [],
            },
        )

    async def open(self) -> dict[str, Any]:
        """Ask for the socket; return the first answer: accepted, or closed."""
        await self.send_input({"type": "websocket.connect"})
        return await self.receive_output(_SECONDS)

    async def told(self) -> dict[str, Any]:
        """Return the next snapshot."""
        message = await self.receive_output(_SECONDS)
        assert message["type"] == "websocket.send", message
        snapshot: dict[str, Any] = json.loads(message["text"])
        return snapshot

    async def closed_with(self) -> int:
        """Return the code with which the socket is closed next."""
        message = await self.receive_output(_SECONDS)
        assert message["type"] == "websocket.close", message
        return int(message["code"])

    async def leave(self) -> None:
        """Go away, as a closed tab does."""
        await self.send_input({"type": "websocket.disconnect", "code": 1001})
        await self.wait(_SECONDS)


Connect = Callable[..., Socket]


def make_job(**who: Any) -> Job:
    return job_create(kind="test", steps=STEPS, payload={}, **who)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Return what opens a socket to a job as the browser of that client does."""
    opened: list[Socket] = []

    def open_socket(job_id: uuid.UUID, client: Client, origin: str = "http://localhost") -> Socket:
        opened.append(Socket(job_id, client, origin))
        return opened[-1]

    yield open_socket
    for socket in opened:
        await socket.leave()
    channel_layers.backends.clear()
    await sync_to_async(connections.close_all)()


@pytest.fixture(autouse=True)
def own_layer() -> Iterator[None]:
    """Give each test's event loop a channel layer of its own."""
    channel_layers.backends.clear()
    yield
    channel_layers.backends.clear()


async def test_it_works(cast: Cast, connect: Connect) -> None:
    """The snapshot comes on connect, before anything changes, and is what polling answers."""
    job = await sync_to_async(make_job)(owner=cast.owner)
    client = await sync_to_async(cast.client)("owner")
    socket = connect(job.pk, client)
    assert (await socket.open())["type"] == "websocket.accept"
    snapshot = await socket.told()
    assert snapshot == json.loads(json.dumps(job_snapshot(job)))
    response = await sync_to_async(client.get)(f"/jobs/{job.pk}/")
    assert response.json() == snapshot


@pytest.mark.parametrize("who", ["colleague", "outsider", "reviewer", "anonymous"])
async def test_a_strangers_private_job_is_not_found(cast: Cast, connect: Connect, who: str) -> None:
    job = await sync_to_async(make_job)(owner=cast.owner)
    socket = connect(job.pk, await sync_to_async(cast.client)(who))
    await socket.open()
    assert await socket.closed_with() == consumers.NOT_FOUND


async def test_a_job_that_never_was_is_not_found_in_the_same_way(cast: Cast, connect: Connect) -> None:
    socket = connect(uuid.uuid4(), await sync_to_async(cast.client)("owner"))
    await socket.open()
    assert await socket.closed_with() == consumers.NOT_FOUND


@pytest.mark.parametrize(("who", "sees"), [("colleague", True), ("viewer", True), ("outsider", False)])
async def test_an_organisations_job_is_its_members(cast: Cast, connect: Connect, who: str, sees: bool) -> None:
    job = await sync_to_async(make_job)(organisation=cast.organisation)
    socket = connect(job.pk, await sync_to_async(cast.client)(who))
    await socket.open()
    if sees:
        assert (await socket.told())["id"] == str(job.pk)
    else:
        assert await socket.closed_with() == consumers.NOT_FOUND


async def test_a_visitor_watches_their_own_job(cast: Cast, connect: Connect) -> None:
    client = Client()

    def arrange() -> Job:
        session = client.session
        digest = ensure_visitor(session)
        session.save()
        return make_job(visitor_digest=digest)

    job = await sync_to_async(arrange)()
    mine, strangers = connect(job.pk, client), connect(job.pk, Client())
    await mine.open()
    assert (await mine.told())["id"] == str(job.pk)
    await strangers.open()
    assert await strangers.closed_with() == consumers.NOT_FOUND


async def test_whoever_has_the_link_watches_where_the_job_allows_it(cast: Cast, connect: Connect) -> None:
    job = await sync_to_async(make_job)(owner=cast.owner, watched_by_link=True)
    socket = connect(job.pk, Client())
    await socket.open()
    assert (await socket.told())["id"] == str(job.pk)


async def test_another_sites_page_cannot_open_the_socket(cast: Cast, connect: Connect) -> None:
    job = await sync_to_async(make_job)(owner=cast.owner, watched_by_link=True)
    client = await sync_to_async(cast.client)("owner")
    answer = await connect(job.pk, client, origin="https://evil.example").open()
    assert answer["type"] == "websocket.close"


async def test_two_tabs_are_told_everything_in_order_until_the_end(cast: Cast, connect: Connect) -> None:
    job = await sync_to_async(make_job)(owner=cast.owner)
    client = await sync_to_async(cast.client)("owner")
    tabs = [connect(job.pk, client) for _ in range(2)]
    for tab in tabs:
        await tab.open()
        assert (await tab.told())["state"] == "queued"

    def work() -> None:
        claimed = job_claim(job_id=job.pk)
        assert claimed is not None
        progress = Progress(claimed)
        for step, _label in STEPS:
            progress(step)
        job_succeed(job=claimed)

    await sync_to_async(work)()
    for tab in tabs:
        seen = [1]
        while True:
            message = await tab.receive_output(_SECONDS)
            if message["type"] == "websocket.close":
                break
            snapshot = json.loads(message["text"])
            seen.append(snapshot["seq"])
        assert seen == sorted(set(seen)), "a number came twice or went back"
        assert snapshot["state"] == "succeeded"
        assert snapshot["percent"] == 100
        assert message["code"] == 1000


async def test_what_was_missed_is_told_without_a_nudge(
    cast: Cast, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A nudge may be lost: the consumer looks at the row by itself."""
    monkeypatch.setattr(consumers, "_LOOK_SECONDS", 0.05)
    job = await sync_to_async(make_job)(owner=cast.owner)
    socket = connect(job.pk, await sync_to_async(cast.client)("owner"))
    await socket.open()
    await socket.told()
    await sync_to_async(Job.objects.filter(pk=job.pk).update)(seq=7, note="changed in silence")
    assert (await socket.told())["note"] == "changed in silence"


async def test_a_nudge_without_news_tells_nothing(cast: Cast, connect: Connect) -> None:
    """Two nudges may point at one change, and one may come late."""
    job = await sync_to_async(make_job)(owner=cast.owner)
    socket = connect(job.pk, await sync_to_async(cast.client)("owner"))
    await socket.open()
    await socket.told()
    for _ in range(3):
        await get_channel_layer().group_send(group_of(job.pk), {"type": "job.changed"})
    await sync_to_async(job_cancel)(job=job)
    assert (await socket.told())["state"] == "cancelled", "the first message after the first snapshot"


async def test_a_job_that_is_over_is_told_once_and_the_socket_closes(cast: Cast, connect: Connect) -> None:
    def arrange() -> Job:
        return job_cancel(job=make_job(owner=cast.owner))

    job = await sync_to_async(arrange)()
    socket = connect(job.pk, await sync_to_async(cast.client)("owner"))
    await socket.open()
    assert (await socket.told())["state"] == "cancelled"
    assert await socket.closed_with() == 1000


@pytest.mark.parametrize("frame", [{"text": "no json {"}, {"text": '{"hello": 1}'}, {"bytes": b"\0\1"}])
async def test_what_a_browser_sends_is_ignored(cast: Cast, connect: Connect, frame: dict[str, Any]) -> None:
    job = await sync_to_async(make_job)(owner=cast.owner)
    socket = connect(job.pk, await sync_to_async(cast.client)("owner"))
    await socket.open()
    await socket.told()
    await socket.send_input({"type": "websocket.receive", **frame})
    await sync_to_async(job_cancel)(job=job)
    assert (await socket.told())["state"] == "cancelled"
    assert await socket.closed_with() == 1000
