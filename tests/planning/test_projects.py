"""The project of rows that name none: from the credentials, else looked up once, with patience, in virtual time."""

import dataclasses
from collections.abc import Sequence
from random import Random

import pytest

from batcher.errors import AccessError, ConfigError, CredentialsError
from batcher.model import Kind, Refused, Stops, Window
from batcher.planning.patience import ASKS_MAX, BUDGET
from batcher.planning.projects import FoundProject, ProjectBook
from tests.virtual_time import VirtualClock, run_virtual

NORTH, SOUTH = ("default", "cn-north-4"), ("default", "cn-south-1")


class Project:
    """A project as the provider shows it."""

    def __init__(self, project_id: str, name: str = "cn-north-4") -> None:
        self.id = project_id
        self.name = name


BUSY = Refused(Kind.TRANSIENT, Stops.ROW, "APIGW.0613", "IAM is down", http_status=503, ambiguous=True)
THROTTLED = Refused(Kind.THROTTLED, Stops.ROW, "APIGW.0308", "slow down", http_status=429, window=Window(10, 60.0))
WRONG = Refused(Kind.PERMANENT, Stops.ACCOUNT, "APIGW.0301", "bad key", http_status=401, advice="check the keys")


class Provider:
    """Answers in turn, the last one for ever; remembers who was asked."""

    def __init__(self, *answers: Sequence[FoundProject] | Refused) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, account: str, region: str) -> Sequence[FoundProject] | Refused:
        self.asked.append((account, region))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def none_given(account: str) -> str:
    return ""


def book(provider: Provider, clock: VirtualClock) -> ProjectBook:
    return ProjectBook(none_given, provider, clock=clock, chance=Random(1))


def find(provider: Provider, *places: tuple[str, str]) -> tuple[ProjectBook, float]:
    """A book after it was asked for these places one by one, and the seconds that took."""

    async def main() -> tuple[ProjectBook, float]:
        clock = VirtualClock()
        found, began = book(provider, clock), clock.steady()
        for place in places:
            await found.find([place])
        return found, clock.steady() - began

    return run_virtual(main())


def test_each_account_and_region_is_asked_for_once() -> None:
    provider = Provider([Project("a")], [Project("b")])
    found, _ = find(provider, NORTH, SOUTH, NORTH, SOUTH)
    assert (found.known(*NORTH), found.known(*SOUTH)) == ("a", "b")
    assert provider.asked == [NORTH, SOUTH]
    assert found.known("default", "cn-east-3") == ""


def test_a_project_that_the_credentials_name_is_not_looked_up() -> None:
    provider = Provider([])

    async def main() -> str:
        async def given(account: str) -> str:
            return {"default": "mine"}[account]

        found = ProjectBook(given, provider, clock=VirtualClock(), chance=Random(1))
        await found.find([NORTH])
        return found.known(*NORTH)

    assert run_virtual(main()) == "mine"
    assert provider.asked == []


def test_trouble_is_waited_out_and_a_limit_is_kept() -> None:
    provider = Provider(BUSY, THROTTLED, [Project("a")])
    found, took_s = find(provider, NORTH)
    assert found.known(*NORTH) == "a"
    assert len(provider.asked) == 3
    assert 60.0 <= took_s <= 67.0


@pytest.mark.parametrize(("refused", "asks"), [(BUSY, ASKS_MAX), (THROTTLED, 2), (WRONG, 1)])
def test_patience_ends_and_says_what_was_said(refused: Refused, asks: int) -> None:
    provider = Provider(refused)
    found, took_s = find(provider, NORTH, NORTH)
    assert found.known(*NORTH) == ""
    assert found.refusals == {NORTH: refused}
    said = found.refusal_of(*NORTH)
    assert refused.code in said
    assert refused.message in said
    assert "`cn-north-4`" in said
    assert len(provider.asked) == asks
    assert took_s <= BUDGET.time_s_max
    with pytest.raises(AccessError) as raised:
        run_virtual(found.require([NORTH]))
    assert (str(raised.value), raised.value.hint) == (said, refused.advice)


def test_a_place_that_is_refused_does_not_keep_the_others_from_being_found() -> None:
    found, _ = find(Provider(WRONG, [Project("b")]), NORTH, SOUTH)
    assert (found.known(*NORTH), found.known(*SOUTH)) == ("", "b")
    assert found.refusal_of(*SOUTH) == ""


def test_a_wait_that_would_take_too_long_is_not_begun() -> None:
    """The provider may ask for an hour; whoever looks something up before a run wants an answer or an end."""
    provider = Provider(dataclasses.replace(THROTTLED, pause_s=3600.0))
    found, took_s = find(provider, NORTH)
    assert found.refusals
    assert (len(provider.asked), took_s < 1.0) == (1, True)


def test_a_project_that_the_credentials_name_is_not_that_of_two_regions() -> None:
    async def main() -> None:
        async def given(account: str) -> str:
            return "mine"

        found = ProjectBook(given, Provider([]), clock=VirtualClock(), chance=Random(1))
        await found.find([NORTH, ("other", "cn-south-1"), NORTH])
        await found.find([SOUTH])

    with pytest.raises(ConfigError, match=r"`default` name one project.*`cn-north-4` and in `cn-south-1`"):
        run_virtual(main())


@pytest.mark.parametrize("found", [[], [Project("a" * 32), Project("b" * 32, "")]])
def test_none_or_several_are_for_the_operator_to_decide(found: list[Project]) -> None:
    with pytest.raises(ConfigError) as raised:
        find(Provider(found), NORTH)
    for project in found:
        assert f"`{project.id}`" in str(raised.value)
    assert "`project_id`" in raised.value.hint


def test_a_long_list_is_cut() -> None:
    with pytest.raises(ConfigError) as raised:
        find(Provider([Project(f"{n:032x}") for n in range(500)]), NORTH)
    assert "knows 500 projects" in str(raised.value)
    assert len(str(raised.value)) < 2000


def test_an_account_without_credentials_goes_through() -> None:
    async def main() -> None:
        async def given(account: str) -> str:
            raise CredentialsError(f"no credentials for account `{account}`")

        await ProjectBook(given, Provider([]), clock=VirtualClock(), chance=Random(1)).find([NORTH])

    with pytest.raises(CredentialsError):
        run_virtual(main())
