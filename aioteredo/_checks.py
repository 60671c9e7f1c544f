"""Checks of arguments that several functions share."""

from __future__ import annotations

import operator
import threading


def check_integer(
    name: str, value: object, lowest: int, highest: int, *, or_none: bool = False
) -> int:
    """Return *value* as an int.

    :param or_none: whether the caller accepts None as well. The errors then mention None
    :raises TypeError: if *value* is not an integer
    :raises ValueError: if *value* is not in *lowest* to *highest*
    """
    alternative = " or None" if or_none else ""
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # it raises TypeError
    except TypeError:
        raise TypeError(f"{name} must be an integer{alternative}, not {value!r}") from None
    if not lowest <= number <= highest:
        raise ValueError(f"{name} must be {lowest} to {highest}{alternative}, not {number}")
    return number


def check_seconds(name: str, seconds: float) -> None:
    """Check a number of seconds for which a thread may wait.

    :raises TypeError: if *seconds* is not a number
    :raises ValueError: if *seconds* is not more than 0, or is too large
    """
    try:
        in_range = 0 < seconds <= threading.TIMEOUT_MAX
    except TypeError:
        raise TypeError(f"{name} must be a number of seconds, not {seconds!r}") from None
    if not in_range:
        raise ValueError(f"{name} must be seconds, more than 0, not {seconds!r}")


def check_backend_methods(backend: object) -> None:
    """Check an argument that is a backend.

    :raises TypeError: if *backend* is not an object with a backend's methods
    """
    for method in ("get_port", "subscribe"):
        if isinstance(backend, type) or not callable(getattr(backend, method, None)):
            raise TypeError(
                f"backend must be a backend's name or an object with the methods "
                f"get_port and subscribe, not {backend!r}"
            )


def check_subscription(subscription: object, subscribe: object) -> None:
    """Check the result of *subscribe*, the method of a backend.

    :raises TypeError: if *subscription* has no method ``cancel``
    """
    if not callable(getattr(subscription, "cancel", None)):
        name = getattr(subscribe, "__name__", "subscribe")
        backend = getattr(subscribe, "__self__", subscribe)
        raise TypeError(
            f"{name}() of {backend!r} must return an object with a method cancel, not "
            f"{subscription!r}"
        )
