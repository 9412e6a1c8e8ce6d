"""Nudges between processes over PostgreSQL's NOTIFY, also past a lost connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction

from webapp.jobs.layers import PostgresNotifyLayer, notify

pytestmark = pytest.mark.django_db(transaction=True)

_SECONDS = 20


async def heard(layer: PostgresNotifyLayer, channel: str) -> dict[str, Any]:
    return await asyncio.wait_for(layer.receive(channel), _SECONDS)


@pytest.fixture
async def layers() -> AsyncIterator[tuple[PostgresNotifyLayer, PostgresNotifyLayer]]:
    """Return two layers, each with its own connection, as two processes have."""
    both = PostgresNotifyLayer(), PostgresNotifyLayer()
    yield both
    for layer in both:
        if layer._listener:
            layer._listener.cancel()
            await asyncio.gather(layer._listener, return_exceptions=True)
    await sync_to_async(connections.close_all)()


def terminate_listeners() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE query LIKE 'LISTEN %%' AND datname = current_database() AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])


async def test_a_message_reaches_a_group_of_another_process(
    layers: tuple[PostgresNotifyLayer, PostgresNotifyLayer],
) -> None:
    here, there = layers
    channel = await there.new_channel()
    await there.group_add("job.1", channel)
    await here.group_send("job.1", {"type": "job.changed", "n": 1})
    assert await heard(there, channel) == {"type": "job.changed", "n": 1}


async def test_only_members_hear_a_group(layers: tuple[PostgresNotifyLayer, PostgresNotifyLayer]) -> None:
    here, there = layers
    member, stranger, former = [await there.new_channel() for _ in range(3)]
    await there.group_add("job.1", member)
    await there.group_add("job.2", stranger)
    await there.group_add("job.1", former)
    await there.group_discard("job.1", former)
    await here.group_send("job.1", {"type": "job.changed"})
    await heard(there, member)
    # Whatever was to be delivered was delivered with the same notification.
    assert there._queues[stranger].empty()
    assert there._queues[former].empty()


async def test_a_message_is_sent_only_when_the_transaction_commits(
    layers: tuple[PostgresNotifyLayer, PostgresNotifyLayer],
) -> None:
    here, _ = layers
    channel = await here.new_channel()
    await here.group_add("job.1", channel)

    def rolled_back_then_committed() -> None:
        with transaction.atomic():
            notify("job.1", {"n": 1})
            transaction.set_rollback(True)
        with transaction.atomic():
            notify("job.1", {"n": 2})

    await sync_to_async(rolled_back_then_committed)()
    assert await heard(here, channel) == {"n": 2}
    assert here._queues[channel].empty()


async def test_listening_comes_back_after_the_connection_is_ended(
    layers: tuple[PostgresNotifyLayer, PostgresNotifyLayer],
) -> None:
    here, there = layers
    channel = await there.new_channel()
    await there.group_add("job.1", channel)
    await here.group_send("job.1", {"n": 0})
    await heard(there, channel)

    assert await sync_to_async(terminate_listeners)() >= 1

    async def nudge_until_heard() -> dict[str, Any]:
        waiting = asyncio.create_task(there.receive(channel))
        number = 0
        while not waiting.done():
            number += 1
            await here.group_send("job.1", {"n": number})
            await asyncio.wait([waiting], timeout=0.2)
        return waiting.result()

    assert (await asyncio.wait_for(nudge_until_heard(), _SECONDS))["n"] >= 1


async def test_a_full_channel_drops_and_the_sender_goes_on() -> None:
    layer = PostgresNotifyLayer(capacity=2)
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(2)
    layer._queues["slow"] = queue
    for number in range(5):
        await layer.send("slow", {"n": number})
    assert [queue.get_nowait()["n"] for _ in range(queue.qsize())] == [0, 1]


def test_a_message_too_long_for_notify_is_refused() -> None:
    with pytest.raises(ValueError, match="8,000"):
        notify("job.1", {"text": "x" * 8000})
