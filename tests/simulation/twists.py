"""What makes a night strange: drawn from the seed as well, and put on the plain night of it (`night.py`).

Providers that show late what was made and what is gone, that keep what was deleted in their listings, forget tokens or
hold several flow logs for one place; clocks that are wrong, and set between a kill and what follows; flow logs made by
hand, and by a second operator; ledgers that are lost or older than what was done; settings that lead elsewhere; regions
with an endpoint each; one place under two accounts; and runs that are taken back, killed over it, and made again.
"""

import random
from dataclasses import replace
from typing import Any

from batcher.emulator.faults import FaultShares
from tests.e2e.inventories import some_project, some_uuid
from tests.simulation.night import (
    SOUTH,
    Nature,
    Night,
    Row,
    Sitting,
    Stranger,
    draw_plain,
    some_kill,
)
from tests.simulation.provider import Network

CLOCKS_S = (0.0, -600.0, 600.0, -100.0, 100.0, -1200.0, 1200.0, 5000.0, -3.0)
"""How far a machine's clock may be off; the gateway refuses from 900 s on."""
AHEAD_S = (0.0, 0.0, 30.3, -200.7)
"""How far a provider's clock may be, beside a part of a second that it always is."""
SECOND_RATES = ("", "", "50/s", "20/min")


def draw(seed: int) -> Night:
    """The night of a seed: always the same."""
    night, chance = draw_plain(seed), random.Random(f"twists/{seed}")
    night = replace(night, nature=_nature(chance), faults=_faults(chance, night.faults))
    if chance.random() < 0.12:
        night = _with_two_regions(night, chance)
    if chance.random() < 0.08:
        night = _with_two_accounts(night, chance)
    night = replace(night, sittings=_undone(chance, night.sittings))
    night = replace(night, clock_steps=_with_a_start(chance, night.clock_steps))
    night = replace(night, sittings=_clocks_set(chance, night.sittings))
    if chance.random() < 0.2:
        night = replace(night, sittings=_with_strangers(chance, night))
    if chance.random() < 0.1 and len(night.sittings) > 1:
        night = replace(night, sittings=_with_another_ledger(chance, night.sittings))
    if chance.random() < 0.08 and len(night.sittings) > 1 and not night.is_two_regions:
        night = _moved(night, chance)
    if chance.random() < 0.08 and night.nature.unique:
        night = replace(night, sittings=_on_one(chance, night.sittings, forgets_s=chance.expovariate(1 / 10)))
    if night.second_operator or chance.random() < 0.12:
        night = replace(
            night,
            second_operator=True,
            other_sittings=_of_another(chance),
            other_rate=chance.choice(SECOND_RATES),
        )
    if chance.random() < 0.05:
        night = replace(night, sittings=_robbed(chance, night.sittings))
    night = replace(night, busy=_busy(random.Random(f"busy/{seed}")))
    stop = random.Random(f"stop/{seed}")
    return _stopped(night, stop) if stop.random() < 0.05 else night


def _stopped(night: Night, chance: random.Random) -> Night:
    """A night in which nothing keeps a first sitting from telling, when it is stopped, what became of its rows."""
    first = Sitting("run", stop_s=chance.uniform(1.0, 9.0))
    return replace(
        night,
        run={**night.run, "rate": chance.choice(["5/s", "5/s", "10/s"]), "verify": True, "fix_drift": False},
        there=(),
        faults=FaultShares(),
        throttle=None,
        pending_s=chance.uniform(0.5, 3.0),
        page_max=2000,
        lies=(),
        network=Network(0.02, 0.05),
        outages=(),
        busy=(),
        nature=replace(night.nature, listing_lag_s=0.0),
        sittings=(first, *night.sittings[1:]),
    )


def _nature(chance: random.Random) -> Nature:
    lag_s = chance.choice([0.0, 0.0, 0.0, 2.0, 9.0, 25.0, 60.0])
    return Nature(
        ahead_s=(_ahead_s(chance), _ahead_s(chance)),
        listing_lag_s=lag_s,
        delete_lag_s=chance.choice([0.0, 0.0, 0.0, 5.0, 30.0]),
        deleting_s=chance.choice([0.0, 0.0, 0.0, 3.0, 20.0]),
        tombstones=chance.random() < 0.12,
        unique=chance.random() >= 0.12,
        is_stale=chance.random() < 0.5,
    )


def _busy(chance: random.Random) -> tuple[tuple[int, int], ...]:
    """Now and then a service refuses creates because something else is done there."""
    if chance.random() < 0.75:
        return ()
    return tuple((chance.randint(0, 8), chance.randint(1, 4)) for _ in range(chance.randint(1, 8)))


def _ahead_s(chance: random.Random) -> float:
    return chance.choice(AHEAD_S) + chance.random()


def _faults(chance: random.Random, faults: FaultShares) -> FaultShares:
    """Also of what only an undo calls, and of looks at one flow log."""
    return replace(faults, on=faults.on | {"show", "delete"}) if chance.random() < 0.4 else faults


def _with_two_regions(night: Night, chance: random.Random) -> Night:
    """Every second attachment in another region, in a project and on a router of its own, often with another clock."""
    here, there = night.nature.ahead_s
    nature = replace(night.nature, ahead_s=(here, there + chance.choice([0.0, 1300.0, -1300.0])))
    south = {row["resource_id"] for row in night.rows[::2]}

    def put(row: Row) -> Row:
        if row["resource_id"] not in south:
            return row
        return {**row, "region": SOUTH, "project_id": some_project(7), "er_id": some_uuid("router south")}

    return replace(
        night,
        is_two_regions=True,
        nature=nature,
        rows=tuple(map(put, night.rows)),
        there=tuple(map(put, night.there)),
        frozen=tuple(map(put, night.frozen)),
        fates=tuple((put(row), fate) for row, fate in night.fates),
    )


def _with_two_accounts(night: Night, chance: random.Random) -> Night:
    """Some rows once more under another account, at the end of the inventory or right behind the first."""
    rows = list(night.rows)
    for row in night.rows:
        if chance.random() < 0.4:
            again = {**row, "account": "other" if row["account"] == "default" else "default"}
            rows.insert(rows.index(row) + 1 if chance.random() < 0.5 else len(rows), again)
    return replace(night, rows=tuple(rows))


def _undone(chance: random.Random, sittings: tuple[Sitting, ...]) -> tuple[Sitting, ...]:
    """Now and then a run is taken back, that goes on after a kill, and all is made again."""
    found = [replace(sitting, which=_which(chance)) for sitting in sittings]
    if chance.random() < 0.35:
        pause_s = chance.choice([0.0, 1.0, chance.expovariate(1 / 60), chance.expovariate(1 / 2000)])
        found.append(Sitting("undo", pause_s, some_kill(chance), which=(which := _which(chance))))
        if found[-1].kill is not None:
            found.append(Sitting("undo", chance.choice([0.0, 20.0]), which=which))
        if chance.random() < 0.5:
            found.append(Sitting(chance.choice(["run", "run", "resume"]), chance.choice([0.0, 5.0, 200.0])))
    return tuple(found)


def _which(chance: random.Random) -> float:
    return chance.choice([0.0, 0.0, chance.random()])


def _with_a_start(chance: random.Random, steps: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """The clock may be wrong from the beginning."""
    return ((0.0, chance.choice(CLOCKS_S)), *steps) if chance.random() < 0.3 else steps


def _clocks_set(chance: random.Random, sittings: tuple[Sitting, ...]) -> tuple[Sitting, ...]:
    """The clock may be set, right or wrong, before a command goes on."""
    return tuple(
        replace(sitting, clock_s=chance.choice(CLOCKS_S)) if place and chance.random() < 0.2 else sitting
        for place, sitting in enumerate(sittings)
    )


def _with_strangers(chance: random.Random, night: Night) -> tuple[Sitting, ...]:
    """While one of the commands works, or just before, somebody makes some of the flow logs by hand."""
    share, mean_s = chance.choice([0.2, 0.6, 1.0]), chance.choice([0.5, 3.0, 15.0])
    at_hand = [place for place, row in enumerate(night.rows) if row["resource_id"] != "no-id"]
    strangers = tuple(
        Stranger(chance.expovariate(1 / mean_s), place, chance.random() < 0.85)
        for place in at_hand
        if chance.random() < share
    )
    return _on_one(chance, night.sittings, strangers=strangers)


def _with_another_ledger(chance: random.Random, sittings: tuple[Sitting, ...]) -> tuple[Sitting, ...]:
    """The ledger is lost before a command, or brought back from a copy that was made in the midst of an earlier one."""
    at = chance.randrange(1, len(sittings))
    found = list(sittings)
    if chance.random() < 0.4:
        found[at] = replace(found[at], ledger="lost")
    else:
        copied = chance.randrange(at)
        found[copied] = replace(found[copied], copied_s=chance.choice([0.0, chance.expovariate(1 / 3)]))
        found[at] = replace(found[at], ledger="restored")
    return tuple(found)


def _robbed(chance: random.Random, sittings: tuple[Sitting, ...]) -> tuple[Sitting, ...]:
    """The first command hangs for long in its midst, and somebody deletes its lock."""
    start = chance.expovariate(1 / 4)
    stall = (start, start + chance.choice([70.0, 300.0]))
    return (Sitting("run", sittings[0].pause_s, stalls=(stall,), robbed=True), *sittings[1:])


def _moved(night: Night, chance: random.Random) -> Night:
    """From one command on the settings lead to the other provider."""
    at = chance.randrange(1, len(night.sittings))
    sittings = [replace(sitting, moved=place >= at) for place, sitting in enumerate(night.sittings)]
    return replace(night, sittings=tuple(sittings), is_moved_back=chance.random() < 0.5)


def _on_one(chance: random.Random, sittings: tuple[Sitting, ...], **changes: Any) -> tuple[Sitting, ...]:
    """Change one of the commands."""
    at = chance.randrange(len(sittings))
    return (*sittings[:at], replace(sittings[at], **changes), *sittings[at + 1 :])


def _of_another(chance: random.Random) -> tuple[Sitting, ...]:
    """What the second operator starts."""
    sittings = [Sitting("run", chance.choice([0.0, 3.0, chance.expovariate(1 / 10)]))]
    if chance.random() < 0.3:
        sittings[0] = replace(sittings[0], kill=some_kill(chance))
        sittings.append(Sitting(chance.choice(["run", "resume"]), chance.choice([0.0, 5.0])))
    if chance.random() < 0.4:
        sittings.append(Sitting("undo", chance.choice([0.0, 5.0, chance.expovariate(1 / 60)])))
    return tuple(sittings)
