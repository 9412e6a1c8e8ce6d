"""A browser that has gone while it was to be told of a job."""

from __future__ import annotations

from typing import Any

import pytest

from webapp.jobs.consumers import JobConsumer


@pytest.mark.parametrize("snapshot", [None, {"seq": 1, "final": False}, {"seq": 0, "final": True}])
async def test_telling_one_that_has_gone_ends_quietly(snapshot: dict[str, Any] | None) -> None:
    async def gone(_message: Any) -> None:
        raise ConnectionResetError

    consumer = JobConsumer()
    consumer._seq = 0
    consumer._read = lambda: snapshot  # type: ignore[method-assign]
    consumer.base_send = gone
    consumer.groups = []
    assert await consumer._tell() is False
