"""The names of the contenders."""

from __future__ import annotations

from benchmarks.apparatus.contenders import ALL, find


def test_name_and_loop_find_one_contender() -> None:
    """Two contenders of one name are for different loops."""
    for kind in ALL:
        for loop in kind.loops:
            assert find(kind.name, loop) is kind
