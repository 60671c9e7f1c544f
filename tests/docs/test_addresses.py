"""The programs of docs/addresses.md, and the output that the page shows."""

from __future__ import annotations

from typing import Final

from aioteredo import TeredoAddress

from ..support.documents import block
from .programs import output_of_program, running_program

PAGE: Final = "docs/addresses.md"


def test_first_program_prints_the_fields_of_the_address() -> None:
    """The program prints the lines of the page, but with other mapped ports."""
    shown = block(PAGE, "text", "server:").splitlines()
    address, *lines = output_of_program(block(PAGE, "python", "get_teredo_addresses"))

    assert lines[0] == shown[1]
    assert lines[1].rpartition(" ")[0] == shown[2].rpartition(" ")[0]
    assert lines[1].endswith(f" {TeredoAddress(address).mapped_port}")


def test_shown_fields_are_those_of_the_shown_address() -> None:
    """The output on the page is consistent."""
    address, server, mapped = block(PAGE, "text", "server:").splitlines()
    shown = TeredoAddress(address)
    assert server == f"server: {shown.server}"
    assert mapped == f"mapped: {shown.mapped_address} port {shown.mapped_port}"


def test_second_program_prints_each_new_address() -> None:
    """The program prints the address after each restart of the client."""
    with running_program(block(PAGE, "python", "watch_teredo_addresses")) as process:
        assert process.stdout is not None
        first, second = (TeredoAddress(process.stdout.readline().strip()) for _ in "12")
    assert first != second
