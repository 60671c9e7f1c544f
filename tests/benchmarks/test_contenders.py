"""The names of the contenders."""

from __future__ import annotations

from benchmarks.apparatus.contenders import CONTENDERS, find_contender


def test_name_and_loop_find_one_contender() -> None:
    """Two contenders of one name are for different loops."""
    for kind in CONTENDERS:
        for loop in kind.loops:
            assert find_contender(kind.name, loop) is kind
