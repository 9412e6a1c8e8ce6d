"""A channel layer over PostgreSQL's NOTIFY, for a site without Redis.

A message is a nudge: it is lost when nobody listens, and whoever gets it reads the row. NOTIFY carries at most
8,000 bytes, is sent at commit and never replayed (PostgreSQL manual, NOTIFY).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import uuid
from collections import defaultdict
from typing import Any

import psycopg
from asgiref.sync import sync_to_async
from channels.layers import BaseChannelLayer
from django.db import connection

log = logging.getLogger(__name__)

_TOPIC = "provenance_channels"
_RECONNECT_SECONDS = 1.0


def notify(group: str, message: dict[str, Any]) -> None:
    """Send a message to a group's listeners in all processes, when the present transaction commits.

    Raises:
        ValueError: the message is too long for NOTIFY.
    """
    payload = json.dumps({"group": group, "message": message}, separators=(",", ":"))
    if len(payload.encode()) >= 8000:
        raise ValueError("a channel message must stay under 8,000 bytes; send an id and read the row")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [_TOPIC, payload])


class PostgresNotifyLayer(BaseChannelLayer):
    """Groups across processes; plain channels within one. Listening reconnects for as long as anybody listens."""

    extensions = ("groups",)

    def __init__(self, capacity: int = 100, **config: Any) -> None:
        super().__init__(capacity=capacity, **config)
        self._queues: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self._groups: dict[str, set[str]] = defaultdict(set)
        self._listener: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()

    async def new_channel(self, prefix: str = "specific") -> str:
        """Return the name of a new channel of this process, and begin to listen."""
        self._ensure_listener()
        # A connection that cannot be had now is had later; the watcher has read the row by then.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._listening.wait(), timeout=5)
        name = f"{prefix}.{uuid.uuid4().hex}"
        self._queues[name] = asyncio.Queue(self.capacity)
        return name

    async def receive(self, channel: str) -> dict[str, Any]:
        """Wait for the channel's next message; a cancelled wait ends the channel."""
        queue = self._queues.setdefault(channel, asyncio.Queue(self.capacity))
        try:
            return await queue.get()
        except asyncio.CancelledError:
            self._queues.pop(channel, None)
            for members in self._groups.values():
                members.discard(channel)
            raise

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Put a message into a channel of this process; a full one drops it."""
        queue = self._queues.get(channel)
        if queue is None:
            return
        with contextlib.suppress(asyncio.QueueFull):
            queue.put_nowait(message)

    async def group_add(self, group: str, channel: str) -> None:
        """Let a channel hear a group."""
        self._groups[group].add(channel)

    async def group_discard(self, group: str, channel: str) -> None:
        """Let a channel no longer hear a group."""
        self._groups[group].discard(channel)
        if not self._groups[group]:
            del self._groups[group]

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send a message to a group in all processes."""
        await sync_to_async(notify)(group, message)

    def _ensure_listener(self) -> None:
        loop = asyncio.get_running_loop()
        if self._listener is None or self._listener.done() or self._listener.get_loop() is not loop:
            self._listening = asyncio.Event()
            self._listener = loop.create_task(self._listen())

    async def _listen(self) -> None:
        parameters = await sync_to_async(connection.get_connection_params)()
        for name in ("cursor_factory", "context", "prepare_threshold"):
            parameters.pop(name, None)
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(**parameters, autocommit=True) as listening:
                    await listening.execute(f"LISTEN {_TOPIC}")
                    self._listening.set()
                    async for note in listening.notifies():
                        await self._deliver(note.payload)
            except psycopg.OperationalError as error:
                self._listening.clear()
                log.warning("channel layer lost its connection and will come back: %s", type(error).__name__)
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _deliver(self, payload: str) -> None:
        envelope = json.loads(payload)
        for channel in list(self._groups.get(envelope["group"], ())):
            await self.send(channel, envelope["message"])
