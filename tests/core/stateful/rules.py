"""The steps of a story: each one changes the package and the model in the same way.

A rule that finds nothing to do does nothing. The arguments of a story are drawn without
regard to the steps before.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
import warnings

from anyio import BusyResourceError

from aioteredo import BackendError, NotificationType, watch_teredo_port
from aioteredo._registry import registry

from .attempt import Attempt, Cancellation, run_attempt
from .event_loops import LOOPS, let_others_run
from .model import ClientRegistration, Watch
from .world import World, choose


class Rules(World):
    """A world with the steps that change it."""

    # loops

    def open_loop(self, kind: str) -> None:
        if len(self.loops) < 3:
            self.loops.append(LOOPS[kind]())

    def close_loop(self, pick: int) -> None:
        if len(self.loops) == 1:
            return
        loop = self.loops.pop(pick % len(self.loops))
        loop.close()

        orphans = [watch for watch in self.watches if watch.loop is loop]
        for watch in orphans:
            watch.loop = None
            if watch.receiver is not None:
                assert watch.receiver.cancelled
                watch.receiver = None

        # The next watch that opens or closes would do this, in an order that the model
        # cannot know.
        registry.cancel_orphans()

        for watch in orphans:
            watch.orphaned = watch.registered
        self.unregister(*orphans)

    # processes

    def exit(self) -> None:
        """Cancel the registrations that are left, as the exit of the interpreter does."""
        registry.cancel_all()
        self.unregister(*self.watches)

    def fork(self) -> None:
        """Let a forked child use the backend. The parent's watches go on."""
        if sys.platform == "win32":
            return
        with warnings.catch_warnings():
            # From Python 3.12 on, a process that has threads warns.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:  # pragma: no cover - coverage is not measured in the child
            status = 1
            try:
                asyncio.run(self.use_in_child())
                status = 0
            except BaseException:  # noqa: BLE001 - the parent fails
                traceback.print_exc()
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0, "the child has failed"

    async def use_in_child(self) -> None:
        assert not registry.subscriptions
        assert self.client.subscriber_count == 0
        self.client._client.next_subscribe_error = None
        self.client._client.next_cancel_error = None

        watches = [watch_teredo_port(initial=True, backend=self.backend) for _ in range(2)]
        for watch in watches:
            stream = await watch.__aenter__()
            assert (await stream.receive()).port == self.port
        assert self.client.subscriber_count == (1 if self.shared else 2)

        for watch in watches:
            await watch.__aexit__(None, None, None)
        assert self.client.subscriber_count == 0

    # opening

    def open(
        self,
        pick: int,
        initial: bool,
        size: int,
        cancellation: Cancellation | None,
    ) -> None:
        if len(self.watches) == 6:
            return
        loop = self.loops[pick % len(self.loops)]
        joined = self.registration_to_join()
        watch = Watch(loop, size, joined or ClientRegistration())
        watch.context = watch_teredo_port(
            initial=initial, max_buffer_size=size, backend=self.backend
        )
        attempt = run_attempt(loop, watch.context.__aenter__, cancellation)

        # trio runs its tasks in a random order, so it may cancel the task before the task
        # has called the backend. The faults then wait for the next call.
        client = self.client._client
        if self.subscribe_fault is not None and joined is None:
            fault_is_left = client.next_subscribe_error is not None
        else:
            fault_is_left = client.next_cancel_error is not None
        if attempt.cancelled and fault_is_left:
            return

        subscribe_fault = None
        if joined is None:
            subscribe_fault = self.subscribe_fault
            self.subscribe_fault = None
        if subscribe_fault is not None:
            if attempt.cancelled:
                assert attempt.error is not None
                assert attempt.error.__cause__ is subscribe_fault
            else:
                assert attempt.error is subscribe_fault
            return

        if attempt.error is None:
            watch.stream = attempt.value
            attempt.value = None  # The other thread may hold the attempt for a while.
            if initial:
                watch.record(self.port, NotificationType.INITIAL)
            self.watches.append(watch)
            return

        assert cancellation is not None
        assert attempt.cancelled
        cancel_fault = self.take_cancel_fault() if joined is None else None
        if cancel_fault is not None:
            notes = getattr(attempt.error, "__notes__", [])
            is_cause = attempt.error.__cause__ is cancel_fault
            assert is_cause or str(cancel_fault) in notes[0]

    # closing

    def close(self, pick: int, way: str, cancellation: Cancellation | None) -> None:
        watch = choose(self.watches_on_a_loop(), pick)
        if watch is not None:
            self.close_watch(watch, way, cancellation)

    def destroy_task(self, pick: int) -> None:
        """GeneratorExit leaves the block, whether or not the loop is still open."""
        watch = choose(self.watches, pick)
        if watch is not None:
            self.destroy_task_of(watch)
            self.finish_receivers()

    def drop(self, pick: int) -> None:
        """Drop the last reference to a watch without a receiver."""
        idle = [watch for watch in self.watches if watch.receiver is None]
        watch = choose(idle, pick)
        if watch is not None:
            self.drop_watch(watch)

    # receiving

    def receive(self, pick: int, iterate: bool) -> None:
        watch = choose(self.watches_on_a_loop(), pick)
        if watch is not None:
            self.receive_from(watch, iterate)

    def drain(self, pick: int) -> None:
        watch = choose(self.watches_on_a_loop(), pick)
        while watch is not None and watch.ready:
            self.receive_from(watch, False)

    def receive_while_another_waits(self, pick: int) -> None:
        watch = choose(self.watches_with_a_receiver(), pick)
        if watch is not None:
            self.receive_from(watch, False)

    def receive_from(self, watch: Watch, iterate: bool) -> None:
        assert watch.loop is not None
        assert watch.stream is not None
        receive = watch.stream.__anext__ if iterate else watch.stream.receive
        attempt = Attempt(receive)

        if watch.closed or watch.ready or watch.error or watch.receiver:
            watch.loop.run(attempt.run)
            if watch.receiver is None:
                self.check_receiver(watch, attempt)
            else:
                assert type(attempt.error) is BusyResourceError
            return

        # The task would wait, so the story goes on without it.
        watch.receiver = attempt
        watch.loop.start_task(attempt.run)
        watch.loop.run(attempt.wait_until_begun)
        watch.loop.run(let_others_run)

    def cancel(self, pick: int, natively: bool) -> None:
        """Cancel a task that waits for an event."""
        watch = choose(self.watches_with_a_receiver(), pick)
        if watch is None:
            return
        assert watch.loop is not None
        assert watch.receiver is not None
        receiver = watch.receiver
        watch.receiver = None

        async def main() -> None:
            receiver.cancel(natively)
            await receiver.wait_until_done()

        watch.loop.run(main)
        assert receiver.cancelled

    def cancel_when_woken(
        self, pick: int, port: int | None, natively: bool, turns: int
    ) -> None:
        """Cancel a task as an event comes: it receives the event, or leaves it."""
        watch = choose(self.watches_with_a_receiver(), pick)
        if watch is None:
            return
        assert watch.loop is not None
        assert watch.receiver is not None
        receiver = watch.receiver
        watch.receiver = None

        async def main() -> None:
            self.client.set_port(port)
            await let_others_run(turns)
            receiver.cancel(natively)
            await receiver.wait_until_done()

        watch.loop.run(main)
        self.record_changes([port])
        if not receiver.cancelled:
            self.check_receiver(watch, receiver)
        self.finish_receivers()

    # the client

    def burst(self, ports: list[int | None]) -> None:
        self.client.burst(ports)
        self.record_changes(ports)
        self.finish_receivers()

    def change_on_a_loop(self, pick: int, port: int | None) -> None:
        """Control the client from the thread of a loop whose tasks follow it."""

        async def main() -> None:
            self.client.set_port(port)

        self.loops[pick % len(self.loops)].run(main)
        self.record_changes([port])
        self.finish_receivers()

    def restart(self) -> None:
        port = self.client.restart()
        assert port != self.port
        self.record_changes([port])
        self.finish_receivers()

    def fail(self, code: int) -> None:
        error = BackendError("NotifyTeredoPortChange", code)
        self.client.fail(error)
        self.record_failure(error)

    def end_client(self) -> None:
        """End the client's ``with`` block. The client can be used again."""
        self.client.close()
        self.record_end_of_client()

    def fail_next_subscribe(self, code: int) -> None:
        self.subscribe_fault = BackendError("NotifyTeredoPortChange", code)
        self.client.fail_next_subscribe(self.subscribe_fault)

    def fail_next_cancel(self, code: int) -> None:
        self.cancel_fault = BackendError("CancelMibChangeNotify2", code)
        self.client.fail_next_cancel(self.cancel_fault)
