"""The backend under test, and the controls of its Teredo client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .._addresses import TeredoAddress
from .._backend import Backend


@dataclass(frozen=True)
class Driver:
    """A backend, and the functions that control the Teredo client of this backend.

    :param backend: the backend under test, without a subscription
    :param change: gives the client this port, or takes its port away (None). It returns
        once ``get_port`` returns the new port; the push may come later. It may do nothing
        if the client already has this port. Several threads call it
    :param refuse: makes every later registration fail (True), or succeed again (False)
    :param fail: makes the present subscriptions fail for good. It may return earlier
    :param change_addresses: gives the client exactly these usable addresses, maybe none.
        In all other respects, it is like *change*, for ``get_addresses``
    :param delay_stable: keeps the addresses from becoming stable (True), or no longer
        (False). Neither changes the usable addresses
    """

    backend: Backend
    change: Callable[[int | None], object]
    refuse: Callable[[bool], object] | None = None
    fail: Callable[[], object] | None = None
    change_addresses: Callable[[tuple[TeredoAddress, ...]], object] | None = None
    delay_stable: Callable[[bool], object] | None = None
