"""The project of rows that name none: from the credentials, else looked up once, with patience, in virtual time."""

from collections.abc import Sequence
from random import Random

import pytest

from batcher.errors import AccessError, ConfigError, CredentialsError
from batcher.model import Kind, Refused, Stops, Window
from batcher.planning.patience import ASKS_MAX
from batcher.planning.projects import FoundProject, ProjectBook
from tests.virtual_time import VirtualClock, run_virtual

NORTH, SOUTH = ("default", "cn-north-4"), ("default", "cn-south-1")


class Project:
    """A project as the provider shows it."""

    def __init__(self, id: str, name: str = "cn-north-4") -> None:
        self.id = id
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


@pytest.mark.parametrize(("refused", "asks"), [(BUSY, ASKS_MAX), (THROTTLED, ASKS_MAX), (WRONG, 1)])
def test_patience_ends_and_says_what_was_said(refused: Refused, asks: int) -> None:
    provider = Provider(refused)
    with pytest.raises(AccessError) as raised:
        find(provider, NORTH)
    assert refused.code in str(raised.value)
    assert refused.message in str(raised.value)
    assert "`cn-north-4`" in str(raised.value)
    assert len(provider.asked) == asks
    if refused is WRONG:
        assert raised.value.hint == "check the keys"


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
