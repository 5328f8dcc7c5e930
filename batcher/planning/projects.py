"""The project of an account in a region, for rows that name none: from the credentials, else asked for once.

A look-up is a read; it is repeated under the retry law like any other. None or several is for the operator to
decide, so the run ends before anything is sent, and says which there are.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
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
        self._refusals: dict[tuple[str, str], Refused] = {}
        self._regions: dict[str, str] = {}

    def known(self, account: str, region: str) -> str:
        """The project, empty where `find` has not found it."""
        return self._known.get((account, region), "")

    @property
    def found(self) -> Mapping[tuple[str, str], str]:
        """All that `find` has found, by (account, region)."""
        return self._known

    @property
    def refusals(self) -> Mapping[tuple[str, str], Refused]:
        """What `find` was refused with, by (account, region)."""
        return self._refusals

    def refusal_of(self, account: str, region: str) -> str:
        """Why the project of a place is not known, in a sentence; empty where it was not refused."""
        refused = self._refusals.get((account, region))
        return _sentence(account, region, refused) if refused is not None else ""

    async def find(self, places: Iterable[tuple[str, str]]) -> None:
        """Make the projects of these (account, region) known, one after the other, or know them as refused.

        Raises `ConfigError` where there is none or more than one, and `CredentialsError` for an account without
        credentials. Reads; repeatable; what was found or refused is not asked again.
        """
        for place in places:
            if place in self._known or place in self._refusals:
                continue
            project_id = await self._named(*place) or await self._only(*place)
            if project_id:
                self._known[place] = project_id

    async def require(self, places: Iterable[tuple[str, str]]) -> None:
        """As `find`, and raise `AccessError` for the first place that is refused."""
        places = list(places)
        await self.find(places)
        for account, region in places:
            refused = self._refusals.get((account, region))
            if refused is not None:
                raise AccessError(_sentence(account, region, refused), hint=refused.advice)

    async def _named(self, account: str, region: str) -> str:
        """The project that the account's credentials name, or empty. Raises `ConfigError` in a second region."""
        project_id = await self._given(account)
        if project_id:
            elsewhere = self._regions.setdefault(account, region)
            if elsewhere != region:
                raise ConfigError(
                    f"the credentials of account `{account}` name one project, and rows that name none are in"
                    f" `{elsewhere}` and in `{region}`",
                    hint="give these rows a `project_id`, or take it out of the credentials: it is then looked up",
                )
        return project_id

    async def _only(self, account: str, region: str) -> str:
        """The one project that the provider shows; empty where it refuses."""
        found = await ask(lambda: self._look_up(account, region), clock=self._clock, chance=self._chance)
        if isinstance(found, Refused):
            self._refusals[account, region] = found
            return ""
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


def _sentence(account: str, region: str, refused: Refused) -> str:
    return (
        f"the project of account `{account}` in region `{region}` could not be looked up:"
        f" {refused.code}: {refused.message}"
    )
