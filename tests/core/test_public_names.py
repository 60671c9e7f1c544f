"""The package shows its public names only."""

from __future__ import annotations

import pickle

import pytest

import aioteredo
from aioteredo import BackendError, SimulatedBackend

from ..support.kinds import Kind

DEFINITIONS = [
    name
    for name in aioteredo.__all__
    if hasattr(getattr(aioteredo, name), "__qualname__") and name != "BackendLike"
]


@pytest.mark.parametrize("name", DEFINITIONS)
def test_public_definition_says_that_it_belongs_to_the_package(name: str) -> None:
    """A traceback and a repr show the name that users import."""
    definition = getattr(aioteredo, name)
    assert f"{definition.__module__}.{definition.__qualname__}" == f"aioteredo.{name}"


def test_dir_lists_the_public_names_only() -> None:
    """``dir()`` shows no private module."""
    assert dir(aioteredo) == sorted(aioteredo.__all__)


def test_pickle_names_no_private_module() -> None:
    """A pickle can be loaded even after a definition has moved to another module."""
    pickled = pickle.dumps(BackendError("GetTeredoPort", 87))
    assert b"aioteredo._errors" not in pickled


def test_name_that_does_not_exist_raises_attribute_error() -> None:
    """The error has the text that Python uses for other modules."""
    with pytest.raises(AttributeError, match="module 'aioteredo' has no attribute 'ports'"):
        aioteredo.ports  # type: ignore[attr-defined]  # noqa: B018 - the access raises


@pytest.mark.every_loop
async def test_repr_of_a_stream_shows_its_state(
    client: SimulatedBackend, kind: Kind
) -> None:
    """The repr also shows the backend, and how many events are buffered and missed."""
    name = f"aioteredo.{kind.stream_class.__name__}"
    async with kind.watch(max_buffer_size=2, backend=client) as events:
        assert repr(events) == (f"<{name} open, backend={client!r}, buffered=0, missed=0>")
        for port in (1, 2, 3):
            kind.change(client, port)
        assert ">, buffered=2, missed=1>" in repr(events)
        client.fail(BackendError("GetTeredoPort", 31))

        assert f"<{name} failed," in repr(events)

    assert f"<{name} closed," in repr(events)


def test_every_public_name_exists_and_is_listed_by_dir() -> None:
    """``dir()`` lists a name before it is used, and private names are not attributes."""
    assert {*aioteredo.__all__} <= {*dir(aioteredo)}
    for name in aioteredo.__all__:
        assert getattr(aioteredo, name) is not None
    for name in ("no_such_name", "Registration", "resolve"):
        with pytest.raises(AttributeError, match=name):
            getattr(aioteredo, name)
