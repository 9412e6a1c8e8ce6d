"""The socket on which a browser watches one job."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, cast

from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.http import Http404

from webapp.jobs.selectors import Viewer, job_get, job_snapshot
from webapp.jobs.services import group_of
from webapp.visitors import visitor_digest

NOT_FOUND = 4404
# Nudges may be lost; past this a look at the row makes up for it.
_LOOK_SECONDS = 5.0


class JobConsumer(AsyncJsonWebsocketConsumer):
    """Sends the job's snapshot on connect and after every change, and closes when the job is over."""

    async def connect(self) -> None:
        """Accept whoever may watch; anybody else is closed with 4404, whether or not the job exists."""
        self._job_id = self.scope["url_route"]["kwargs"]["job_id"]
        self._seq = 0
        self._looking: asyncio.Task[None] | None = None
        await self.accept()
        await self.channel_layer.group_add(group_of(self._job_id), self.channel_name)
        if await self._tell():
            self._looking = asyncio.create_task(self._look())

    async def disconnect(self, code: int) -> None:
        """Stop listening."""
        if self._looking:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
        await self.channel_layer.group_discard(group_of(self._job_id), self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any) -> None:
        """Nothing is expected from the browser; what comes is ignored, whatever it is."""

    async def job_changed(self, event: dict[str, Any]) -> None:
        """Answer a nudge."""
        await self._tell()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if not await self._tell():
                return

    async def _tell(self) -> bool:
        """Send the snapshot if it is news; return whether there is more to come."""
        snapshot = await sync_to_async(self._read)()
        try:
            if snapshot is None:
                await self.close(NOT_FOUND)
                return False
            if snapshot["seq"] > self._seq:
                self._seq = snapshot["seq"]
                await self.send_json(snapshot)
            if snapshot["final"]:
                await self.close(1000)
                return False
        except OSError:
            # The browser has gone; that it did is told to disconnect() as well.
            return False
        return True

    def _read(self) -> dict[str, Any] | None:
        try:
            job, _may_cancel = job_get(
                job_id=self._job_id,
                user=cast(Viewer, self.scope["user"]),
                visitor_digest=visitor_digest(self.scope["session"]),
            )
        except Http404:
            return None
        return job_snapshot(job)
