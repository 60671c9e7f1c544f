"""The conformance suite finds each mistake of a backend, and names the rule it breaks.

A suite that never fails proves nothing. Each faulty backend must fail the test of its own
rule and no other, so that the name of the test tells an author which rule is broken.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from aioteredo.testing import BackendContract, Driver

from ..support.waiting import limit
from .correct_backend import Client
from .faulty_backends import RULES_BROKEN

RULES = {name for name in dir(BackendContract) if name.startswith("test_")}
OUTCOMES = ("passed", "skipped", "failed")
NO_RULES: set[str] = set()


class Project:
    """A project that tests its backends, one class for each, with the suite."""

    def __init__(self, pytester: pytest.Pytester, *, faults: bool = True) -> None:
        self.pytester = pytester
        self.faults = faults

    @pytest.fixture
    def driver(self, request: pytest.FixtureRequest) -> Iterator[Driver]:
        with contextlib.closing(request.cls.client()) as client:
            if self.faults:
                yield Driver(client, client.change, client.refuse, client.fail)
            else:
                yield Driver(client, client.change)

    def run(self, *kinds: type[Client]) -> dict[str, dict[str, set[str]]]:
        """Test the backends, and return the rules by backend and outcome."""
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

        outcomes: dict[str, dict[str, set[str]]] = {}
        for outcome, reports in zip(OUTCOMES, run.listoutcomes(), strict=True):
            for report in reports:
                _, class_name, rule = report.nodeid.split("::")
                backend = class_name.removeprefix("Test")
                by_outcome = outcomes.setdefault(
                    backend, {each: set() for each in OUTCOMES}
                )
                by_outcome[outcome].add(rule)
        return outcomes


def expected(
    *, skipped: set[str] = NO_RULES, failed: set[str] = NO_RULES
) -> dict[str, set[str]]:
    """Return the rules by outcome, where the rules that are not named pass."""
    passed = RULES - skipped - failed
    return {"passed": passed, "skipped": skipped, "failed": failed}


def test_correct_backend_passes_every_rule(pytester: pytest.Pytester) -> None:
    """A backend that keeps the contract passes every rule."""
    assert Project(pytester).run(Client) == {"Client": expected()}


def test_driver_without_faults_skips_the_rules_about_faults(
    pytester: pytest.Pytester,
) -> None:
    """A driver without ``refuse`` and ``fail`` skips their two rules, and runs the rest."""
    skipped = {
        "test_failed_subscribe_leaves_nothing_registered",
        "test_failure_is_told_once_and_last",
    }
    outcomes = Project(pytester, faults=False).run(Client)
    assert outcomes == {"Client": expected(skipped=skipped)}


@pytest.mark.timeout(300)
def test_each_mistake_fails_its_own_rule_and_no_other(pytester: pytest.Pytester) -> None:
    """A backend with one mistake fails the rule about it, and passes the others."""
    outcomes = Project(pytester).run(*RULES_BROKEN)
    broken = {kind.__name__: {rule} for kind, rule in RULES_BROKEN.items()}

    assert {name: outcomes[name]["failed"] for name in outcomes} == broken
    assert outcomes == {name: expected(failed=broken[name]) for name in broken}


def test_each_rule_has_a_mistake_that_breaks_it() -> None:
    """For each rule there is a faulty backend, so no rule passes for every backend."""
    assert set(RULES_BROKEN.values()) == RULES


def test_import_of_the_package_does_not_import_pytest() -> None:
    """A program that uses the package does not import pytest with it."""
    code = "import sys, aioteredo; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=limit())
