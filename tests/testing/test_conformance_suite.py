"""The conformance suite finds each mistake of a backend, and names the rule it breaks.

A suite that never fails proves nothing. Each faulty backend must fail the test of its own
rule and no other, so that the name of the test tells an author which rule is broken.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest

from aioteredo.testing import BackendContract, Driver, _cancel_rules
from aioteredo.testing._address_rules import AddressRules
from aioteredo.testing._port_rules import PortRules

from ..support.python import output_of
from ..support.waiting import limit, start_thread, wait_until
from .correct_address_backend import AddressClient
from .correct_backend import Client
from .faulty_address_backends import ADDRESS_RULES_BROKEN, WithoutStability
from .faulty_backends import PORT_RULES_BROKEN, RULES_BROKEN, Doubling

OUTCOMES = ("passed", "skipped", "failed")
NO_RULES: set[str] = set()

Outcomes: TypeAlias = dict[str, dict[str, set[str]]]


def rules_of(cls: type) -> set[str]:
    return {name for name in dir(cls) if name.startswith("test_")}


COMPLETE = "test_backend_has_all_methods_for_addresses_or_none"
PORT_ONLY = rules_of(PortRules)
ADDRESS_ONLY = rules_of(AddressRules)
SHARED = rules_of(BackendContract) - PORT_ONLY - ADDRESS_ONLY

PORT_TESTS = {f"{rule}[port]" for rule in SHARED} | PORT_ONLY
ADDRESS_TESTS = {f"{rule}[addresses]" for rule in SHARED} | ADDRESS_ONLY - {COMPLETE}
ALL_TESTS = PORT_TESTS | ADDRESS_TESTS | {COMPLETE}


def drive_all(client: Client | AddressClient) -> AbstractContextManager[Driver]:
    """Return the driver of a client."""
    return client.driver()


def drive_addresses(client: Client) -> AbstractContextManager[Driver]:
    """Return the driver of a backend that uses *client* for the addresses only."""
    return AddressClient(client).driver()


class Project:
    """A project that tests its backends, one class for each, with the suite.

    :param drive: returns the driver of a client, in a context manager
    :param tests: the tests that it runs; the others are deselected
    """

    def __init__(
        self,
        pytester: pytest.Pytester,
        drive: Callable[[Any], AbstractContextManager[Driver]] = drive_all,
        tests: set[str] | None = None,
    ) -> None:
        self.pytester = pytester
        self.drive = drive
        self.tests = ALL_TESTS if tests is None else tests

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.name in self.tests]

    @pytest.fixture
    def driver(self, request: pytest.FixtureRequest) -> Iterator[Driver]:
        with self.drive(request.cls.client()) as driver:
            yield driver

    def run(self, *kinds: type[Client | AddressClient]) -> Outcomes:
        """Test the backends, and return the tests by backend and outcome."""
        code = ["from aioteredo.testing import BackendContract"]
        for kind in kinds:
            code += [
                f"import {kind.__module__}",
                f"class Test{kind.__name__}(BackendContract):",
                f"    client = {kind.__module__}.{kind.__name__}",
                "    timeout = client.timeout",
                "    a_while = client.a_while",
            ]
        self.pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
        self.pytester.makepyfile("\n".join(code))

        run = self.pytester.inline_run("-p", "no:cacheprovider", plugins=[self])

        outcomes: Outcomes = {}
        for outcome, reports in zip(OUTCOMES, run.listoutcomes(), strict=True):
            for report in reports:
                _, class_name, test = report.nodeid.split("::")
                backend = class_name.removeprefix("Test")
                by_outcome = outcomes.setdefault(
                    backend, {each: set() for each in OUTCOMES}
                )
                by_outcome[outcome].add(test)
        return outcomes


def expected(
    *,
    skipped: set[str] = NO_RULES,
    failed: set[str] = NO_RULES,
    tests: set[str] | None = None,
) -> dict[str, set[str]]:
    """Return the tests by outcome, where the tests that are not named pass."""
    run = ALL_TESTS if tests is None else tests
    return {"passed": run - skipped - failed, "skipped": skipped, "failed": failed}


def test_correct_backend_for_ports_passes_every_rule_about_them(
    pytester: pytest.Pytester,
) -> None:
    """The rules about addresses are skipped."""
    outcomes = Project(pytester).run(Client)
    assert outcomes == {"Client": expected(skipped=ADDRESS_TESTS)}


def test_correct_backend_for_ports_and_addresses_passes_every_rule(
    pytester: pytest.Pytester,
) -> None:
    """No rule is skipped."""
    assert Project(pytester).run(AddressClient) == {"AddressClient": expected()}


class LateThread(threading.Thread):
    """A thread that has been started, but does not run before ``may_run`` is set."""

    may_run = threading.Event()

    def _bootstrap(self) -> None:
        self.may_run.wait(limit())
        super()._bootstrap()  # type: ignore[misc]  # typeshed omits this private method


class StartsAnother(Client):
    """A correct backend. After its last subscription, another thread is just starting."""

    def end_thread(self, timeout: float | None = None) -> None:
        if self.thread is None:
            return
        super().end_thread(timeout)
        late = LateThread(daemon=True)
        start_thread(late.start)
        wait_until(lambda: late in threading.enumerate(), "the start of the late thread")


def test_thread_that_is_just_starting_is_not_left_behind(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule about threads looks again until the late thread has run and ended."""

    def pause(_seconds: float) -> None:
        LateThread.may_run.set()

    # The late thread runs only after the rule has seen it.
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=pause)
    monkeypatch.setattr(_cancel_rules, "time", clock)
    LateThread.may_run.clear()

    rule = "test_no_thread_is_left_behind[port]"
    outcomes = Project(pytester, tests={rule}).run(StartsAnother)
    assert outcomes == {"StartsAnother": expected(tests={rule})}


def test_driver_without_optional_functions_skips_the_rules_that_need_them(
    pytester: pytest.Pytester,
) -> None:
    """A driver needs ``change_addresses`` to test addresses, and nothing more."""

    @contextmanager
    def drive(client: AddressClient) -> Iterator[Driver]:
        with closing(client):
            yield Driver(
                client,
                client.ports.change,
                change_addresses=client.change_addresses,
            )

    skipped = {
        "test_addresses_that_are_not_stable_are_awaited",
        "test_cancelled_wait_for_stable_addresses_pushes_nothing",
        "test_failure_ends_the_wait_for_stable_addresses",
    }
    for kind in ("port", "addresses"):
        skipped.add(f"test_failed_subscribe_leaves_nothing_registered[{kind}]")
        skipped.add(f"test_failure_is_reported_once_and_last[{kind}]")
    outcomes = Project(pytester, drive).run(AddressClient)
    assert outcomes == {"AddressClient": expected(skipped=skipped)}


def test_driver_that_cannot_change_addresses_skips_the_rules_about_them(
    pytester: pytest.Pytester,
) -> None:
    """The backend has addresses, but the author of the driver does not test them."""

    @contextmanager
    def drive(client: AddressClient) -> Iterator[Driver]:
        with closing(client):
            yield Driver(client, client.ports.change, client.refuse, client.fail)

    outcomes = Project(pytester, drive).run(AddressClient)
    assert outcomes == {"AddressClient": expected(skipped=ADDRESS_TESTS)}


@pytest.mark.timeout(300)
def test_each_mistake_with_ports_fails_its_own_rule_and_no_other(
    pytester: pytest.Pytester,
) -> None:
    """A backend with one mistake fails the rule about it, and passes the others."""
    outcomes = Project(pytester).run(*RULES_BROKEN, *PORT_RULES_BROKEN)
    broken = {kind.__name__: {f"{rule}[port]"} for kind, rule in RULES_BROKEN.items()}
    broken |= {kind.__name__: {rule} for kind, rule in PORT_RULES_BROKEN.items()}

    assert {name: outcomes[name]["failed"] for name in outcomes} == broken
    assert outcomes == {
        name: expected(skipped=ADDRESS_TESTS, failed=broken[name]) for name in broken
    }


@pytest.mark.timeout(300)
def test_each_mistake_with_addresses_fails_its_own_rule_and_no_other(
    pytester: pytest.Pytester,
) -> None:
    """The same mistakes are found if they concern the addresses only."""
    project = Project(pytester, drive_addresses, ADDRESS_TESTS)
    outcomes = project.run(*RULES_BROKEN)
    broken = {kind.__name__: {f"{rule}[addresses]"} for kind, rule in RULES_BROKEN.items()}
    broken[Doubling.__name__] = set()  # It may push addresses that have not changed.

    assert {name: outcomes[name]["failed"] for name in outcomes} == broken
    assert outcomes == {
        name: expected(failed=broken[name], tests=ADDRESS_TESTS) for name in broken
    }


@pytest.mark.timeout(300)
def test_each_mistake_about_addresses_only_fails_its_own_rule_and_no_other(
    pytester: pytest.Pytester,
) -> None:
    """These mistakes have no counterpart for ports."""
    outcomes = Project(pytester).run(*ADDRESS_RULES_BROKEN)
    broken = {kind.__name__: {rule} for kind, rule in ADDRESS_RULES_BROKEN.items()}

    assert {name: outcomes[name]["failed"] for name in outcomes} == broken
    assert outcomes == {name: expected(failed=broken[name]) for name in broken}


def test_missing_method_for_addresses_fails_the_rule_about_it(
    pytester: pytest.Pytester,
) -> None:
    """The other rules about addresses are skipped."""
    outcomes = Project(pytester).run(WithoutStability)
    assert outcomes == {
        "WithoutStability": expected(skipped=ADDRESS_TESTS, failed={COMPLETE})
    }


def test_each_rule_has_a_mistake_that_breaks_it() -> None:
    """For each rule there is a faulty backend, so no rule passes for every backend."""
    assert set(RULES_BROKEN.values()) == SHARED
    assert set(PORT_RULES_BROKEN.values()) == PORT_ONLY
    assert set(ADDRESS_RULES_BROKEN.values()) == ADDRESS_ONLY - {COMPLETE}


def test_import_of_the_package_does_not_import_pytest() -> None:
    """A program that uses the package does not import pytest with it."""
    code = "import sys, aioteredo; assert 'pytest' not in sys.modules"
    assert output_of(code) == ""
