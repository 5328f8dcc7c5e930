"""The world of a seed: what an inventory asks for, what stands there, what its rows stand on, and how it is run."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batcher.emulator import fates, flow_logs, inventory, log_groups
from batcher.emulator.bodies import NewFlowLog
from batcher.emulator.state import State
from tests.e2e.inventories import some_project, some_uuid
from tests.virtual_time import EPOCH

REGION = "cn-north-4"
LONG_AGO = EPOCH - 1e6
PENDING_S = 2.0
"""How long what is created is `pending`."""
PASSING_S = 20.0
"""How long some of what stands is `pending` yet: longer than a plan takes, and less long than a run follows it."""
VERIFY_S = 60.0

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Standing:
    """A flow log that stands at a row's place beforehand: `pending` until `ready_s`, then in its final state."""

    row: Row
    state: str = "available"
    ready_s: float = 0.0


@dataclass(frozen=True, slots=True)
class World:
    """Everything that is decided of a world."""

    seed: int
    rows: Sequence[Row]
    standing: Sequence[Standing]
    fates: Sequence[tuple[Row, str]]
    attachments: Sequence[tuple[Row, str]]
    """Rows whose attachment is there, and its state."""
    streams: Sequence[tuple[str, str, str]]
    """Project, log group and log stream of those that are there; empty: any is taken."""
    open_world: bool
    quota: int
    run: Mapping[str, Any]

    @property
    def is_quota_short(self) -> bool:
        """Whether there is a quota at all."""
        return self.quota >= 0


def draw(seed: int) -> World:
    """The world of a seed."""
    chance = random.Random(f"agreement/{seed}")
    rows = _rows(chance)
    plain = [row for row in rows if row["resource_id"] != "no-id"]
    places = list({_place(row): row for row in reversed(plain)}.values())
    share = chance.choice([0.0, 0.3, 0.7, 1.0])
    standing = [each for row in places if chance.random() < share for each in _standing(chance, row)]
    is_open = chance.random() < 0.4
    gone = {row["er_id"] for row in plain if chance.random() < 0.03}
    attachments = []
    for row in places:
        state = "" if is_open else chance.choices(["available", "pending", "freezed", ""], [20, 1, 1, 1])[0]
        if state and row["er_id"] not in gone:
            attachments.append((row, state))
    return World(
        seed=seed,
        rows=rows,
        standing=[each for each in standing if is_open or each.row["er_id"] not in gone],
        fates=[(row, chance.choice(["failed", "pending"])) for row in places if chance.random() < 0.04],
        attachments=attachments,
        streams=[] if is_open or chance.random() < 0.3 else _streams(chance, places),
        open_world=is_open,
        quota=chance.choice([-1, -1, -1, chance.randint(0, 30)]),
        run=_settings(chance),
    )


def _rows(chance: random.Random) -> list[Row]:
    routers, projects = chance.randint(1, 5), chance.randint(1, 2)
    rows = [_row(number, chance, routers, projects) for number in range(chance.choice([3, 12, 30, 60]))]
    if chance.random() < 0.5:
        rows.sort(key=lambda row: row["er_id"])
    for row in list(rows):
        if chance.random() < 0.05:
            twin = dict(row) if chance.random() < 0.5 else {**row, "name": f"{row['name']}-twin"}
            rows.insert(chance.randint(0, len(rows)), twin)
    return rows


def _row(number: int, chance: random.Random, routers: int, projects: int) -> Row:
    router = chance.randrange(routers)
    return {
        "er_id": some_uuid(f"router {router}"),
        "resource_id": "no-id" if chance.random() < 0.03 else some_uuid(f"attachment {number}"),
        "log_group_id": some_uuid("group"),
        "log_stream_id": some_uuid("stream" if chance.random() < 0.9 else "another stream"),
        "name": f"fl-{number}",
        "enabled": chance.choice(["true", "true", "true", "false"]),
        "project_id": some_project(router % projects),
        "region": REGION,
    }


def _place(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in ("er_id", "resource_id", "log_group_id", "log_stream_id"))


def _standing(chance: random.Random, row: Row) -> list[Standing]:
    """What stands at a place: one thing, as wished or not, or two."""
    kind = chance.choices(
        ["as wished", "another name", "another switch", "failed", "pending", "pending yet", "other and pending", "two"],
        [8, 2, 2, 1, 1, 1, 1, 1],
    )[0]
    other = {**row, "name": "somebody's"}
    switched = {**row, "enabled": "false" if row["enabled"] == "true" else "true"}
    return {
        "as wished": [Standing(row)],
        "another name": [Standing(other)],
        "another switch": [Standing(switched)],
        "failed": [Standing(row, "failed")],
        "pending": [Standing(row, ready_s=flow_logs.FOREVER)],
        "pending yet": [Standing(row, ready_s=PASSING_S)],
        "other and pending": [Standing(other, ready_s=flow_logs.FOREVER)],
        "two": [Standing(row), Standing(other, chance.choice(["available", "failed"]))],
    }[kind]


def _streams(chance: random.Random, rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    found = {(row["project_id"], row["log_group_id"], row["log_stream_id"]) for row in rows}
    there = [place for place in sorted(found) if chance.random() < 0.8]
    projects = {row["project_id"] for row in rows}
    return there + [(project, some_uuid("unused group"), some_uuid("stream")) for project in sorted(projects)]


def _settings(chance: random.Random) -> dict[str, Any]:
    return {
        "rate": chance.choice(["5/s", "50/s", "auto"]),
        "concurrency": chance.choice([1, 4, 64]),
        "reconcile": chance.choice(["auto", "auto", "auto", "always"]),
        "preflight": chance.random() < 0.5,
        "fix_drift": chance.random() < 0.4,
        "verify": chance.random() < 0.8,
        "verify_time_s": VERIFY_S,
    }


def furnish(state: State, world: World) -> None:
    """Put there what is there."""
    for row, attachment in world.attachments:
        place = {"project_id": row["project_id"], "er_id": row["er_id"], "id": row["resource_id"]}
        inventory.put_router(state, row["project_id"], row["er_id"], LONG_AGO)
        inventory.put_attachment(state, {**place, "state": attachment}, LONG_AGO)
    for project_id, group_id, stream_id in world.streams:
        log_groups.put_log_group(state, project_id, {"id": group_id}, LONG_AGO)
        log_groups.put_log_stream(state, project_id, group_id, {"id": stream_id}, LONG_AGO)
    for row, fate in world.fates:
        fates.put_fate(state, (row["project_id"], row["er_id"], row["resource_id"]), fate, EPOCH)
    for each in world.standing:
        _put(state, each)


def _put(state: State, standing: Standing) -> None:
    row = standing.row
    inventory.put_router(state, row["project_id"], row["er_id"], LONG_AGO)  # flow logs stand on one
    names = ("name", "resource_id", "log_group_id", "log_stream_id")
    made = flow_logs.insert(
        state,
        NewFlowLog(**{name: row[name] for name in names}, description=""),
        project_id=row["project_id"],
        er_id=row["er_id"],
        at=LONG_AGO,
        ready_at=EPOCH + standing.ready_s if standing.ready_s else LONG_AGO,
        final_state=standing.state,
        seeded=True,
    )
    state.db.execute("UPDATE flow_logs SET enabled = ? WHERE n = ?", (row["enabled"] == "true", made))
