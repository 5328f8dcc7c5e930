"""What happens in the night of a seed: all of it is drawn, before anything runs. `twists.py` draws what is beyond."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from batcher.emulator.faults import FaultShares
from batcher.emulator.throttle import Throttle
from tests.e2e.inventories import some_project, some_uuid
from tests.simulation.machine import Kill
from tests.simulation.provider import Network, Outage

REGION, SOUTH = "cn-north-4", "cn-south-1"
KEYS = {"AKBASIC": "SKBASIC", "AKOTHER": "SKOTHER"}
"""Of the accounts `default` and `other`."""

Row = Mapping[str, str]


class Stranger(NamedTuple):
    """Somebody makes the flow log of a row by hand, so long after a sitting has begun; `as_wished`: just like it."""

    delay_s: float
    row: int
    as_wished: bool


@dataclass(frozen=True, slots=True)
class Sitting:
    """One start of a command, `pause_s` after the end of the one before; `stop_s`: when it is asked to stop.

    `robbed`: while it hangs on its disk, somebody deletes the lock and starts another. `which`: of an undo, the share
    of the runs that are newer than the one it takes back. Before it begins: `clock_s` is how far the machine's clock is
    set ahead (None: not), `ledger` what becomes of the ledger (`lost`, or `restored` from the copy that was made
    `copied_s` after the begin of another), `moved` whether the settings lead to the other provider. `forgets_s` after
    its begin the provider forgets all tokens.
    """

    command: str
    pause_s: float = 1.0
    kill: Kill | None = None
    stop_s: float | None = None
    stalls: tuple[tuple[float, float], ...] = ()
    robbed: bool = False
    which: float = 0.0
    clock_s: float | None = None
    ledger: str = ""
    copied_s: float | None = None
    moved: bool = False
    forgets_s: float | None = None
    strangers: tuple[Stranger, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Nature:
    """How all providers of a night are, faults aside; none of it heals.

    `ahead_s`: their clocks, beside virtual time. `unique`: one flow log a place. The rest is as in the emulator's
    settings and in `provider.Provider`.
    """

    ahead_s: tuple[float, float] = (0.0, 0.0)
    listing_lag_s: float = 0.0
    delete_lag_s: float = 0.0
    deleting_s: float = 0.0
    tombstones: bool = False
    unique: bool = True
    is_stale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """Everything that is decided of a night."""

    seed: int
    rows: tuple[Row, ...]
    run: Mapping[str, Any]
    """The settings of the section `run`."""
    answer_timeout_s: float
    there: tuple[Row, ...]
    """Flow logs that stand at the provider before anything was sent."""
    frozen: tuple[Row, ...]
    """Rows whose attachment is frozen."""
    fates: tuple[tuple[Row, str], ...]
    faults: FaultShares
    throttle: Throttle | None
    quota: int
    pending_s: float
    page_max: int
    lies: tuple[tuple[str, int], ...]
    """Lies of listings, and how many calls before each tell the truth."""
    network: Network
    outages: tuple[Outage, ...]
    clock_steps: tuple[tuple[float, float], ...]
    sittings: tuple[Sitting, ...]
    second_operator: bool
    """Whether there is another one, with a machine and a ledger of their own and the same inventory."""
    nature: Nature = Nature()
    is_two_regions: bool = False
    """Whether every second project is in another region, which the other provider serves."""
    is_moved_back: bool = False
    """Whether, if the settings lead elsewhere, that ends in the morning."""
    other_sittings: tuple[Sitting, ...] = (Sitting("run", 3.0),)
    busy: tuple[tuple[int, int], ...] = ()
    """How many creates are let through, and how many then refused because something else is done there."""
    other_rate: str = ""
    """At which rate the second operator runs; empty: at the first one's."""

    @property
    def is_moved(self) -> bool:
        """Whether the settings lead elsewhere at some time."""
        return any(sitting.moved for sitting in self.sittings)

    def rate_of(self, machine: int) -> str:
        """The rate that was asked of a machine."""
        return str((self.other_rate if machine > 1 else "") or self.run["rate"])


def draw_plain(seed: int) -> Night:
    """The night of a seed without its twists."""
    chance = random.Random(f"night/{seed}")
    rows = _rows(chance)
    plain = [row for row in rows if row["name"] != ""]
    rate = chance.choice(["2/s", "5/s", "10/s", "20/s", "50/s", "20/min", "100/min", "auto"])
    return Night(
        seed=seed,
        rows=tuple(rows),
        run=_settings(chance, rate),
        answer_timeout_s=chance.choice([2.0, 10.0, 30.0]),
        there=tuple(_there(chance, plain)),
        frozen=tuple(row for row in plain if chance.random() < 0.02),
        fates=tuple(_fates(chance, plain)),
        faults=_faults(chance),
        throttle=chance.choice([None, None, Throttle(10, 1.0), Throttle(30, 10.0), Throttle(60, 60.0)]),
        quota=chance.choice([-1, -1, -1, -1, chance.randint(0, 12)]),
        pending_s=chance.choice([0.0, 0.0, 3.0, chance.uniform(0, 40.0)]),
        page_max=chance.choice([2000, 2000, 3, 7]),
        lies=_lies(chance),
        network=_network(chance),
        outages=tuple(_outages(chance)),
        clock_steps=_clock_steps(chance),
        sittings=tuple(_sittings(chance)),
        second_operator=chance.random() < 0.08,
    )


def _rows(chance: random.Random) -> list[Row]:
    projects, routers = chance.randint(1, 3), chance.randint(1, 4)
    count = chance.choice([chance.randint(1, 6), chance.randint(4, 15), chance.randint(10, 30)])
    accounts = ["default", "other"] if chance.random() < 0.2 else ["default"]
    rows = [_row(number, chance, projects, routers, accounts) for number in range(count)]
    for row in list(rows):
        if chance.random() < 0.05:
            twin = dict(row) if chance.random() < 0.5 else {**row, "name": f"{row['name']}-twin"}
            rows.insert(chance.randint(0, len(rows)), twin)
    return rows


def _row(number: int, chance: random.Random, projects: int, routers: int, accounts: list[str]) -> Row:
    router = chance.randrange(routers)
    project = router % projects
    is_bad = chance.random() < 0.03
    return {
        "er_id": some_uuid(f"router {router}"),
        "resource_id": "no-id" if is_bad else some_uuid(f"attachment {number}"),
        "log_group_id": some_uuid("group"),
        "log_stream_id": some_uuid("stream"),
        "name": f"fl-{number}",
        "description": chance.choice(["", "", "nightly"]),
        "enabled": chance.choice(["true", "true", "true", "false"]),
        "project_id": some_project(project),
        "region": REGION,
        "account": accounts[project % len(accounts)],
    }


def _settings(chance: random.Random, rate: str) -> dict[str, Any]:
    return {
        "rate": rate,
        "reserve": chance.choice([0, 0, 0, 1]),
        "concurrency": chance.choice([1, 4, 64, 64]),
        "max_failures": chance.choice([None, None, None, "30%", "5"]),
        "reconcile": chance.choice(["auto", "auto", "always", "never"]),
        "fix_drift": chance.random() < 0.3,
        "verify": chance.random() < 0.8,
        "verify_time_s": chance.choice([5.0, 60.0, 300.0]),
        "attempts_max": chance.choice([1, 3, 8]),
        "retry_time_s": chance.choice([20.0, 200.0, 900.0]),
    }


def _there(chance: random.Random, rows: list[Row]) -> list[Row]:
    share = chance.choice([0.0, 0.0, 0.2, 0.6])
    there: dict[str, Row] = {}
    for row in rows:
        if row["resource_id"] != "no-id" and chance.random() < share:
            drifted = {"name": "another"} if chance.random() < 0.3 else {}
            there.setdefault(row["resource_id"], {**row, **drifted})
    return list(there.values())


def _fates(chance: random.Random, rows: list[Row]) -> list[tuple[Row, str]]:
    share = chance.choice([0.0, 0.0, 0.0, 0.15])
    return [(row, chance.choice(["failed", "pending"])) for row in rows if chance.random() < share]


def _faults(chance: random.Random) -> FaultShares:
    if chance.random() < 0.3:
        return FaultShares()
    share = chance.choice([0.02, 0.1, 0.2])
    on = (
        frozenset({"create"}) if chance.random() < 0.6 else frozenset({"create", "list", "update", "enable", "disable"})
    )
    return FaultShares(
        refused_before=share * chance.random(),
        error_after=share * chance.random(),
        lost_before=share * chance.random(),
        lost_after=share * chance.random(),
        truncated_after=share * chance.random(),
        throttled=share * chance.random() * 0.3,
        on=on,
    )


def _lies(chance: random.Random) -> tuple[tuple[str, int], ...]:
    if chance.random() < 0.85:
        return ()
    kinds = ["marker_left", "marker_gone", "page_repeated", "page_empty", "page_short"]
    return tuple((chance.choice(kinds), chance.randint(0, 6)) for _ in range(chance.randint(1, 3)))


def _network(chance: random.Random) -> Network:
    way_s = chance.choice([0.005, 0.05, 0.4])
    late = chance.choice([0.0, 0.0, 0.02, 0.1])
    return Network(way_s, way_s * chance.choice([0.1, 1.0, 5.0]), late, chance.choice([5.0, 60.0, 200.0]))


def _outages(chance: random.Random) -> list[Outage]:
    outages = []
    while chance.random() < 0.25:
        start = chance.expovariate(1 / 20)
        kind = chance.choice(["down", "busy", "mute", "deaf"])
        outages.append(Outage(start, start + chance.expovariate(1 / 30), kind, chance.random() < 0.5))
    return outages


def _clock_steps(chance: random.Random) -> tuple[tuple[float, float], ...]:
    if chance.random() < 0.8:
        return ()
    return tuple(
        (chance.expovariate(1 / 30), chance.choice([-7200.0, -400.0, -3.0, 2.0, 500.0, 3600.0, 40_000.0]))
        for _ in range(chance.randint(1, 2))
    )


def _sittings(chance: random.Random) -> list[Sitting]:
    sittings: list[Sitting] = []
    while len(sittings) < 4 and (not sittings or chance.random() < 0.55):
        command = "run" if not sittings else chance.choice(["run", "run", "resume", "resume", "retry"])
        pause_s = chance.choice([0.0, 1.0, chance.expovariate(1 / 60), chance.expovariate(1 / 20_000)])
        sitting = Sitting(command, pause_s, some_kill(chance), _stop_s(chance))
        if chance.random() < 0.06:
            start = chance.expovariate(1 / 5)
            stall = (start, start + chance.choice([5.0, 70.0, 300.0]))
            sitting = Sitting(command, pause_s, stalls=(stall,), robbed=chance.random() < 0.7)
        sittings.append(sitting)
    if chance.random() < 0.1:
        sittings.append(Sitting("undo", chance.expovariate(1 / 60), some_kill(chance)))
    return sittings


def some_kill(chance: random.Random) -> Kill | None:
    """How a process may die."""
    if chance.random() < 0.35:
        return None
    what = chance.choice(["before job", "after job", "before send", "after send", "after answer", "time"])
    if what == "time":
        return Kill(what, chance.expovariate(1 / 8))
    return Kill(what, chance.randint(1, chance.choice([12, 60])))


def _stop_s(chance: random.Random) -> float | None:
    return chance.expovariate(1 / 10) if chance.random() < 0.1 else None
