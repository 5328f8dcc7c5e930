"""What flow logs stand on, row by row: the attachment on its router, the log group and its stream.

The trap that rows fall into: a flow log wants the *attachment's* id, and the provider's lists show the VPC's id
under the name `resource_id`. A check that cannot be made holds nothing up: what is not known is no obstacle.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from pydantic_core import from_json

from batcher.cloud.client import NO_CREDENTIALS, CloudClient
from batcher.errors import ConfigError
from batcher.model import Kind, LaneKey, Obstacle, Page, Refused, Stops
from batcher.operations.surroundings import Ids, Item, attachments_page, is_id, log_groups, log_streams, state_of
from batcher.policy.paging import Reading
from batcher.ports import Ask

T = TypeVar("T")

ATTACHMENTS_MAX = 250_000
"""Attachments of a router that are kept, some 400 bytes each: many times what one can have."""
STREAMS_KEPT_MAX = 100_000
"""Ids of log streams that are kept at a time; beyond them a group may be asked for once more."""
SHOWN_MAX = 5
"""Ids that are named where a VPC has several attachments."""

OPEN = "the emulator takes any attachment, log group and stream that it does not know: those were not checked"
_MAY_NOT_READ = "have the permission to list them granted, or do without this check: rows are sent as they are"


@dataclass(frozen=True, slots=True)
class Attachments:
    """A router's attachments: the state of each, and of those on each VPC or gateway as many as are shown."""

    states: Mapping[str, str]
    behind: Mapping[str, Sequence[str]]
    is_open: bool = False
    """Whether a create takes any other, too."""

    def obstacle(self, resource_id: str) -> Obstacle | None:
        """What is wrong with a row's `resource_id`. Pure."""
        state = self.states.get(resource_id)
        if state == "available" or (state is None and self.is_open):
            return None
        if state is not None:
            message = f"attachment `{resource_id}` is in state `{state}`"
            return Obstacle("BATCHER.AttachmentNotReady", message, passing=True)
        right = self.behind.get(resource_id)
        if right is None:
            return Obstacle("BATCHER.NoAttachment", f"the router has no attachment `{resource_id}`")
        ids = " or ".join(f"`{each}`" for each in right[:SHOWN_MAX])
        message = f"`resource_id` is the id of what is attached, such as a VPC; the attachment's is {ids}"
        return Obstacle("BATCHER.NotAnAttachment", message)


class FlowLogGround:
    """The `Ground` of flow logs: a router's attachments while its rows are asked for, log groups and streams once."""

    def __init__(self, client: CloudClient, lane: LaneKey, ask: Ask, tell: Callable[[str, str], None]) -> None:
        self._client = client
        self._lane = lane
        self._ask = ask
        self._tell = tell
        self._scope: str | None = None
        self._attachments: Attachments | None = None
        self._groups: Ids | None = None
        self._asked_groups = False
        self._streams: dict[str, Ids | None] = {}
        self._has_told_of_openness = False
        self._streams_kept = 0
        self._given_up: set[str] = set()
        """Kinds of call whose refusal was about more than one router or group: they are not asked again."""

    async def obstacles(self, scope: str, specs: Sequence[str]) -> list[Obstacle | None]:
        """What stands in the way of each row."""
        if scope != self._scope:
            self._scope, self._attachments = scope, await self._read_attachments(scope)
        return [await self._obstacle(spec) for spec in specs]

    async def _obstacle(self, spec: str) -> Obstacle | None:
        _, _, _, _, resource_id, group_id, stream_id, *_ = from_json(spec)
        found = [
            None if self._attachments is None else self._attachments.obstacle(resource_id),
            await self._log_obstacle(group_id, stream_id),
        ]
        there = [each for each in found if each is not None]
        if not there:
            return None
        lasting = [each for each in there if not each.passing] or there
        return replace(lasting[0], message="; ".join(each.message for each in there))

    async def _log_obstacle(self, group_id: str, stream_id: str) -> Obstacle | None:
        if not self._asked_groups:
            self._asked_groups = True
            whose = f"the log groups of project `{self._lane.project_id}`"
            self._groups = await self._read(whose, "log_groups", partial(log_groups, self._client, self._lane))
            if self._groups is not None and self._groups.is_open:
                self._tell_of_openness()
        if self._groups is None or self._groups.is_open:
            return None
        if group_id not in self._groups:
            return Obstacle("BATCHER.NoLogGroup", f"the project has no log group `{group_id}`")
        if group_id not in self._streams:
            call = partial(log_streams, self._client, self._lane, group_id)
            found = await self._read(f"the streams of log group `{group_id}`", "log_streams", call)
            self._streams_kept += 1 + len(found or ())
            if self._streams_kept > STREAMS_KEPT_MAX:
                self._streams.clear()
                self._streams_kept = 1 + len(found or ())
            self._streams[group_id] = found
        streams = self._streams[group_id]
        if streams is None or stream_id in streams:
            return None
        return Obstacle("BATCHER.NoLogStream", f"log group `{group_id}` has no stream `{stream_id}`")

    async def _read_attachments(self, scope: str) -> Attachments | None:
        """All attachments of a router; None where they cannot be read to their end."""
        states: dict[str, str] = {}
        behind: dict[str, tuple[str, ...]] = {}
        what = f"the attachments of router `{scope}`"
        is_open = False
        reading: Reading[Item] = Reading(lambda item: str(item["id"]), ATTACHMENTS_MAX)
        while not reading.is_over:
            call = partial(attachments_page, self._client, self._lane, scope, reading.marker)
            page: Page[Item] | None = await self._read(what, "attachments", call)
            if page is None:
                return None
            is_open = is_open or page.is_open
            for item in reading.take(page):
                attachment_id = _lower(str(item["id"]))
                states[attachment_id] = state_of(item.get("state"))
                attached = item.get("resource_id")
                if not is_id(attached):
                    continue
                attached_id = _lower(attached)
                known = behind.get(attached_id, ())
                if len(known) < SHOWN_MAX:
                    behind[attached_id] = (*known, attachment_id)
        if not reading.is_whole:
            end = f"did not end after {reading.count:,}" if reading.is_endless else "could not be read to its end"
            self._tell(f"{what} were not checked: the list {end}", "")
            return None
        if is_open:
            self._tell_of_openness()
        return Attachments(states, behind, is_open)

    def _tell_of_openness(self) -> None:
        """Say once that not all could be checked, for an emulator takes what it does not list."""
        if not self._has_told_of_openness:
            self._has_told_of_openness = True
            self._tell(OPEN, "start it with `--closed-world` to rehearse missing attachments and log groups")

    async def _read(self, what: str, kind: str, make: Callable[[], Awaitable[T | Refused]]) -> T | None:
        """An answer, or None with the reason told; only refused keys and a router that is not there stop anything."""
        if kind in self._given_up:
            return None
        reach = Stops.ROW

        async def softly() -> T | Refused:
            nonlocal reach
            answer = await make()
            if not isinstance(answer, Refused):
                return answer
            reach = answer.stops
            return confined(answer)

        try:
            answer = await self._ask(kind, softly)
        except ConfigError as error:  # an endpoint that nobody has named
            self._tell(f"{what} were not checked: {error}", error.hint)
            return None
        if isinstance(answer, Refused):
            if answer.kind is not Kind.PERMANENT or reach not in {Stops.ROW, Stops.SCOPE}:
                self._given_up.add(kind)
                what = f"{what}, and all that come after them,"
            hint = _MAY_NOT_READ if answer.http_status == 403 else answer.advice
            self._tell(f"{what} were not checked: {answer.code}: {answer.message}", hint)
            return None
        return answer


def _lower(text: str) -> str:
    """A text in lower case; the same object where it is so already, of which there may be 200,000 on a router. Pure."""
    lower = text.lower()
    return text if lower == text else lower


def confined(refused: Refused) -> Refused:
    """A refusal as it concerns a check: that something may not be read does not say that nothing may be made. Pure."""
    is_about_keys = refused.http_status == 401 or refused.code == NO_CREDENTIALS
    return refused if is_about_keys or refused.stops is Stops.SCOPE else replace(refused, stops=Stops.ROW)
