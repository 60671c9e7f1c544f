"""The texts of the commands for a port, and for addresses."""

from __future__ import annotations

from typing import Final

import pytest

from aioteredo import TeredoAddress
from aioteredo._cli.arguments import parse
from aioteredo._cli.options import UsageError
from aioteredo._cli.subject import ADDRESSES, PORT

FIRST: Final = TeredoAddress("2001:0:4136:e378:8000:63be:3fff:fdd2")
SECOND: Final = TeredoAddress("2001:0:4136:e378:8000:63bf:3fff:fdd2")


def test_port_has_a_word_for_each_value() -> None:
    """A message names the port, or says that there is none."""
    assert PORT.describe(51234) == "port 51234"
    assert PORT.describe(None) == "no port"


def test_addresses_have_a_word_for_each_value() -> None:
    """A message names all addresses, or says that there is none."""
    assert ADDRESSES.describe((FIRST, SECOND)) == f"address {FIRST}, {SECOND}"
    assert ADDRESSES.describe(()) == "no address"


def test_fields_of_addresses_are_objects() -> None:
    """The JSON field has an object for each address."""
    (field,) = ADDRESSES.fields((FIRST, SECOND)).values()
    assert isinstance(field, list)
    assert [fields["address"] for fields in field] == [str(FIRST), str(SECOND)]


def test_placeholders_of_addresses_stand_for_the_first_one() -> None:
    """CMD gets the address, and the external address and port in it."""
    assert ADDRESSES.substitutes((FIRST, SECOND)) == (str(FIRST), "192.0.2.45", "40001")
    assert ADDRESSES.substitutes(()) == ()


@pytest.mark.parametrize("options", [["--addresses", "--no-port=0"], ["--no-address=0"]])
def test_text_for_the_other_value_is_refused_by_the_parser(options: list[str]) -> None:
    """A text for a missing port does not go with addresses, nor the other way round."""
    with pytest.raises(
        UsageError, match=r"--no-port .*--no-address|--no-address .*--no-port"
    ):
        parse(["exec", *options, "true"])
