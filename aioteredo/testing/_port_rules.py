"""The rules about the values of ports."""

from __future__ import annotations

from ._harness import Harness
from ._subjects import HIGHEST_PORT, PORTS


class PortRules:
    """Rules about ``get_port`` and the ports that are pushed."""

    def test_get_port_is_that_of_the_last_change(self, port_harness: Harness) -> None:
        """``get_port`` returns the newest port, with and without a subscription."""
        harness = port_harness
        for subscribed in (False, True):
            if subscribed:
                harness.subscribe()
            for port in (PORTS[0], None, HIGHEST_PORT):
                harness.change(port)
                returned = harness.get()
                assert harness.subject.label(returned) == port, (
                    f"get_port returned {returned}, but the port is {port}"
                )

    def test_no_port_is_none_and_never_0(self, port_harness: Harness) -> None:
        """Each port, returned or pushed, is an integer from 1 to 65535, or None."""
        harness = port_harness
        ports: list[object] = []
        for port in (PORTS[0], None, HIGHEST_PORT, None):
            harness.change(port)
            ports.append(harness.get())

            sink = harness.subscribe(initial=True)
            change = HIGHEST_PORT if port is None else None
            harness.change(change)
            sink.wait_for(change)
            sink.cancel()
            ports += sink.values

        wrong = [port for port in ports if not _is_port_or_none(port)]
        assert not wrong, f"these are neither 1 to 65535 nor None: {wrong}"


def _is_port_or_none(port: object) -> bool:
    return port is None or (isinstance(port, int) and 1 <= port <= 65_535)
