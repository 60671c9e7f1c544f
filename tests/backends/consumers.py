"""Tasks that consume the events of a backend."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import anyio
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

from aioteredo import (
    Backend,
    watch_teredo_port,
)


class Consumer:
    """A task that handles one event after the other, each in several steps."""

    def __init__(self, backend: Backend, *, max_buffer_size: int = 16) -> None:
        self.handled: list[int | None] = []
        self.may_go_on = anyio.Event()
        self.may_go_on.set()
        self._backend = backend
        self._max_buffer_size = max_buffer_size

    def hold(self) -> None:
        """Have the consumer stop in the middle of the next event."""
        self.may_go_on = anyio.Event()

    async def follow(self, *, task_status: TaskStatus[None]) -> None:
        async with watch_teredo_port(
            backend=self._backend, max_buffer_size=self._max_buffer_size
        ) as events:
            task_status.started()
            async for event in events:
                await checkpoint()
                await self.may_go_on.wait()
                self.handled.append(event.port)


@contextlib.asynccontextmanager
async def following(*consumers: Consumer) -> AsyncIterator[anyio.abc.TaskGroup]:
    async with anyio.create_task_group() as tasks:
        for consumer in consumers:
            await tasks.start(consumer.follow)
        yield tasks
        tasks.cancel_scope.cancel()
