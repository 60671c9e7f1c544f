"""The drawing of a story: which rules it has, and with which arguments."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeAlias

from .attempt import Cancellation
from .event_loops import LOOPS
from .rules import Rules

Draw: TypeAlias = Callable[[random.Random], object]


def port(rng: random.Random) -> int | None:
    return rng.choice([None, 1, 65535, rng.randint(1, 65535)])


def ports(rng: random.Random) -> list[int | None]:
    few = [port(rng) for _ in range(rng.randrange(7))]
    return rng.choice([few, few, few, [7, None] * 100])


def cancellation(rng: random.Random) -> Cancellation | None:
    some = Cancellation(rng.randint(1, 8), rng.randint(1, 3), rng.random() < 0.5)
    return rng.choice([None, some])


def one_of(*values: object) -> Draw:
    return lambda rng: rng.choice(values)


PICK = one_of(*range(6))
BOOL = one_of(False, True)
CODE = one_of(6, 8, 31, 87)

# The name of each rule, its weight, and how each of its arguments is drawn.
RULES: dict[str, tuple[int, dict[str, Draw]]] = {
    "open_loop": (2, {"kind": one_of(*LOOPS)}),
    "close_loop": (1, {"pick": PICK}),
    "exit": (1, {}),
    "fork": (1, {}),
    "open": (
        8,
        {
            "pick": PICK,
            "initial": BOOL,
            "size": one_of(1, 2, 3, 16, 1000),
            "cancellation": cancellation,
        },
    ),
    "close": (
        2,
        {
            "pick": PICK,
            "way": one_of("leave", "aclose", "raise"),
            "cancellation": cancellation,
        },
    ),
    "destroy_task": (1, {"pick": PICK}),
    "drop": (3, {"pick": PICK}),
    "receive": (10, {"pick": PICK, "iterate": BOOL}),
    "drain": (2, {"pick": PICK}),
    "receive_while_another_waits": (2, {"pick": PICK}),
    "cancel": (3, {"pick": PICK, "natively": BOOL}),
    "cancel_when_woken": (
        4,
        {"pick": PICK, "port": port, "natively": BOOL, "turns": one_of(0, 1, 2)},
    ),
    "burst": (5, {"ports": ports}),
    "change_on_a_loop": (3, {"pick": PICK, "port": port}),
    "restart": (2, {}),
    "fail": (1, {"code": CODE}),
    "end_client": (1, {}),
    "fail_next_subscribe": (1, {"code": CODE}),
    "fail_next_cancel": (2, {"code": CODE}),
}


def run_story(rng: random.Random, steps: int = 60) -> None:
    """Run a random story. If it fails, its steps are a note on the exception."""
    world = Rules(shared=rng.random() < 0.5)
    history = [f"the story of {world.backend!r}:"]
    weights = [weight for weight, _ in RULES.values()]

    try:
        world.open_loop(rng.choice(list(LOOPS)))
        for name in rng.choices(list(RULES), weights, k=steps):
            _, draws = RULES[name]
            arguments = {key: draw(rng) for key, draw in draws.items()}
            history.append(f"    {name}(**{arguments})")

            getattr(world, name)(**arguments)
            world.check_registrations()
            world.check_receivers_wait()

        history.append("    end()")
        world.end()
    except BaseException as error:
        error.add_note("\n".join(history))
        world.give_up()
        raise
