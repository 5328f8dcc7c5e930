"""The project of an account in a region, for rows that name none: from the credentials, else asked for once.

A look-up is a read; it is repeated under the retry law like any other. None or several is for the operator to
decide, so the run ends before anything is sent, and says which there are.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from random import Random
from typing import Protocol

from batcher.errors import AccessError, ConfigError
from batcher.model import Refused
from batcher.planning.patience import ask
from batcher.ports import Clock

PROJECTS_SHOWN_MAX = 20


class FoundProject(Protocol):
    """A project that bears the region's name."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...


Given = Callable[[str], Awaitable[str]]
"""The project that an account's credentials name, or empty."""
LookUp = Callable[[str, str], Awaitable[Sequence[FoundProject] | Refused]]
"""The projects of (account, region) at the provider."""


class ProjectBook:
    """What is known of projects in one sitting; each (account, region) is looked up at most once."""

    def __init__(self, given: Given, look_up: LookUp, *, clock: Clock, chance: Random) -> None:
        self._given = given
        self._look_up = look_up
        self._clock = clock
        self._chance = chance
        self._known: dict[tuple[str, str], str] = {}

    def known(self, account: str, region: str) -> str:
        """The project, empty where `find` has not found it."""
        return self._known.get((account, region), "")

    async def find(self, places: Iterable[tuple[str, str]]) -> None:
        """Make the projects of these (account, region) known, one after the other.

        Raises `ConfigError` where there is none or more than one, `CredentialsError` for an account without
        credentials, `AccessError` where the provider refuses or cannot be reached. Reads; repeatable.
        """
        for account, region in places:
            if (account, region) not in self._known:
                self._known[account, region] = await self._given(account) or await self._only(account, region)

    async def _only(self, account: str, region: str) -> str:
        found = await self._ask(account, region)
        if len(found) == 1:
            return found[0].id
        place = f"account `{account}` in region `{region}`"
        if not found:
            raise ConfigError(
                f"the identity service knows no project of {place}",
                hint="give `project_id` in the inventory, by `--project-id` or in `[defaults]`",
            )
        shown = ", ".join(f"`{project.id}` ({project.name or 'no name'})" for project in found[:PROJECTS_SHOWN_MAX])
        raise ConfigError(
            f"the identity service knows {len(found)} projects of {place}: {shown}",
            hint="choose one: `project_id` in the inventory, `--project-id` or `[defaults]`",
        )

    async def _ask(self, account: str, region: str) -> Sequence[FoundProject]:
        answer = await ask(lambda: self._look_up(account, region), clock=self._clock, chance=self._chance)
        if isinstance(answer, Refused):
            raise AccessError(
                f"the project of account `{account}` in region `{region}` could not be looked up:"
                f" {answer.code}: {answer.message}",
                hint=answer.advice or "check the identity service's endpoint (`cloud.iam_endpoint`)",
            )
        return answer
