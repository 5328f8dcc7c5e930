"""`batcher discover`: an inventory from what the cloud itself lists, written so that `run` takes it as it is.

Nothing is written before everything was read to its end: a list that was cut short is an error and no inventory.
The trap that this command exists for: a flow log wants the *attachment's* id, and the provider's list of attachments
has the VPC's id under the name `resource_id`.
"""

import csv
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import Any, Literal, TextIO

from batcher.cloud.client import CloudClient
from batcher.engine.limiter import LaneLimiter
from batcher.errors import AccessError, ConfigError
from batcher.events import CallMade
from batcher.model import CallClass, LaneKey, Page, Refused
from batcher.operations.surroundings import Item, attachments_page, flow_logs_page, is_id, routers_page
from batcher.planning.patience import ask
from batcher.policy.defusing import defuse
from batcher.policy.paging import ITEMS_MAX, Reading
from batcher.wiring import Session, asked_window, open_cloud, row_defaults

BYTES_IN_MEMORY_MAX = 8 << 20
"""What is found waits here, and beyond it in a temporary file, until all was read."""
ROUTERS_MAX = 100_000
"""Routers of one project: each costs two calls more, so a longer list is none to wait for."""
ATTACHMENTS_MAX = 1_000_000
"""Attachments in all: the rows of the largest inventory; they wait on the disk, some 400 bytes each."""
CHARS_MAX = 200
"""Longest name that is carried over; the provider allows fewer."""

COLUMNS = ("region", "project_id", "er_id", "resource_id", "log_group_id", "log_stream_id")
"""What `run` reads; `account` comes first where it is not the default one."""
FOR_PEOPLE = ("router_name", "attachment_name", "attachment_type", "attached_id")
"""What people recognise; `run` carries them to the report. `attached_id` is the VPC's or gateway's."""

Form = Literal["csv", "json", "jsonl"]
PageOf = Callable[[str | None], Awaitable[Page[Item] | Refused]]


@dataclass(slots=True)
class Discovery:
    """What was found; `left_out` attachments are not `available`, `covered` ones have a flow log."""

    routers: int = 0
    attachments: int = 0
    left_out: int = 0
    covered: int = 0
    written: int = 0


async def discover(session: Session, out: TextIO, *, missing: bool = False, form: Form = "csv") -> Discovery:
    """Write an inventory of the attachments in one project to `out`, once all of it is known.

    Of the router in `[defaults]` if one is named there, else of all; `missing`: only those without a flow log. Raises
    `ConfigError` where region, log group or log stream are not named, and `AccessError` where the provider refuses or
    a list ends short; then nothing is written.
    """
    filled = _place(session)
    found = Discovery()
    with SpooledTemporaryFile(BYTES_IN_MEMORY_MAX, "w+", encoding="utf-8", newline="") as draft:
        async with open_cloud(session) as cloud:
            account, region = filled["account"], filled["region"]
            if "project_id" not in filled:
                await cloud.projects.require([(account, region)])
                filled["project_id"] = cloud.projects.known(account, region)
            lane = LaneKey(account, region, filled["project_id"])
            reader = _Reader(session, cloud.client, lane)
            rows = _rows(reader, filled, found, missing=missing)
            columns = (*(("account",) if "account" in session.settings.defaults.model_fields_set else ()), *COLUMNS)
            await _write(draft, rows, (*columns, *FOR_PEOPLE), form)
        draft.seek(0)
        while text := draft.read(1 << 16):
            out.write(text)
    return found


def _place(session: Session) -> dict[str, str]:
    """The settings' place. Raises `ConfigError` for what is missing or no id."""
    defaults = row_defaults(session)
    filled = defaults.fill({})
    for fault in defaults.place_faults(filled):
        raise ConfigError(f"{fault.column} `{fault.value}` {fault.rule}")
    for column in ("region", "log_group_id", "log_stream_id"):
        if not filled.get(column):
            raise ConfigError(
                f"no `{column}` for the rows of the inventory",
                hint=f"give `--{column.replace('_', '-')}` or set it in `[defaults]`",
            )
    return filled


class _Reader:
    """Listings of one lane, at the lane's pace and with patience, each read to its end."""

    def __init__(self, session: Session, client: CloudClient, lane: LaneKey) -> None:
        self._session = session
        self._clock = session.clock
        self._limiter = LaneLimiter(asked_window(session.settings), self._clock)
        self._chance = session.chance()
        self.client = client
        self.lane = lane

    async def all(self, what: str, kind: str, page_of: PageOf, items_max: int = ITEMS_MAX) -> AsyncIterator[Item]:
        """Every item of a listing, each once. Raises `AccessError` where it cannot be read to its end."""
        reading: Reading[Item] = Reading(lambda item: str(item["id"]), items_max)
        while not reading.is_over:
            call = partial(self._call, kind, page_of, reading.marker)
            page = await ask(call, clock=self._clock, chance=self._chance)
            if isinstance(page, Refused):
                raise AccessError(f"{what} could not be read: {page.code}: {page.message}", hint=page.advice)
            for item in reading.take(page):
                yield item
        if reading.is_endless:
            raise AccessError(f"{what} did not end after {reading.count:,}", hint="check the endpoint")
        if not reading.is_whole:
            of = "" if reading.total is None else f" of {reading.total:,}"
            raise AccessError(f"{what} ended after {reading.count:,}{of}", hint="run it again")

    async def _call(self, kind: str, page_of: PageOf, marker: str | None) -> Page[Item] | Refused:
        await self._limiter.acquire(CallClass.READ)
        page = await page_of(marker)
        result = "200" if isinstance(page, Page) else str(page.http_status or page.code)
        self._session.sink.emit(CallMade(self.lane, kind, result))
        return page


async def _rows(
    reader: _Reader, filled: Mapping[str, str], found: Discovery, *, missing: bool
) -> AsyncIterator[dict[str, str]]:
    """The rows of the inventory, router by router; counts what passes."""
    client, lane, wanted = reader.client, reader.lane, filled.get("er_id", "")
    async for router in reader.all("the list of routers", "routers", partial(routers_page, client, lane), ROUTERS_MAX):
        er_id = router["id"]
        if wanted and er_id != wanted:
            continue
        found.routers += 1
        covered = set()
        if missing:
            logs = reader.all(
                f"the flow logs of router `{er_id}`", "list", partial(flow_logs_page, client, lane, er_id)
            )
            covered = {log["resource_id"].lower() async for log in logs if is_id(log.get("resource_id"))}
        what = f"the attachments of router `{er_id}`"
        async for item in reader.all(what, "attachments", partial(attachments_page, client, lane, er_id)):
            found.attachments += 1
            if found.attachments > ATTACHMENTS_MAX:
                raise AccessError(f"there are more than {ATTACHMENTS_MAX:,} attachments", hint="name one `er_id`")
            if item.get("state") != "available":
                found.left_out += 1
            elif item["id"].lower() in covered:
                found.covered += 1
            else:
                found.written += 1
                yield {
                    **{column: filled.get(column, "") for column in ("account", *COLUMNS)},
                    "er_id": er_id,
                    "resource_id": item["id"],
                    "router_name": _text(router.get("name")),
                    "attachment_name": _text(item.get("name")),
                    "attachment_type": _text(item.get("resource_type")),
                    "attached_id": _text(item.get("resource_id")),
                }
    if wanted and not found.routers:
        raise ConfigError(f"there is no router `{wanted}` in project `{lane.project_id}`", hint="check `er_id`")


async def _write(draft: Any, rows: AsyncIterator[dict[str, str]], columns: Iterable[str], form: Form) -> None:
    names = tuple(columns)
    if form == "csv":
        writer = csv.writer(draft, lineterminator="\n")
        writer.writerow(names)
        async for row in rows:
            writer.writerow([defuse(row[name]) for name in names])
        return
    start, between, end = ("[\n", ",\n", "\n]\n") if form == "json" else ("", "\n", "\n")
    count = 0
    async for row in rows:
        draft.write(between if count else start)
        draft.write(json.dumps({name: row[name] for name in names}, ensure_ascii=False))
        count += 1
    draft.write(end if count else {"json": "[]\n", "jsonl": ""}[form])


def _text(value: object) -> str:
    """A provider's text for a cell: one printable line."""
    if not isinstance(value, str):
        return ""
    return "".join(c if c.isprintable() else " " for c in value[:CHARS_MAX])
