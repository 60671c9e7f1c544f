"""The answer of the executable to wrong usage."""

from __future__ import annotations

from aioteredo._cli.reference import (
    COMMANDS,
)

from ..support.command import environment, run


def answer_to_wrong_usage(*arguments: str, env: dict[str, str] | None = None) -> str:
    """Return the last line of the executable's answer to wrong usage."""
    result = run(*arguments, env=env or environment())
    assert (result.returncode, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    name = arguments[0] if arguments and arguments[0] in COMMANDS else None
    program = f"aioteredo {name}" if name else "aioteredo"
    assert lines[0].startswith(f"usage: {program} [OPTION ...]")
    assert lines[-2] == f'See "{program} --help".'
    assert "\033" not in result.stderr
    return lines[-1]
