"""Listings that break off or lie: no row wrongly `exists`, none wrongly sent again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clouds import Cloud, assert_created_once, cloud
from tests.e2e.commands import Ended, column, report_rows, write_settings
from tests.e2e.inventories import some_rows, write_rows

Row = dict[str, str]
Rule = Mapping[str, Any]

WISHES = some_rows(40)
STANDING = 25
"""Two full pages and a half."""
NIGHTLY = 20
"""Two full pages: a first page that comes twice has as many items."""
PAGE = 10
QUICK = "[run]\nattempts_max = 3\nbackoff_base_s = 0.01\nbackoff_cap_s = 0.02\nverify_time_s = 0.1\n"

ROUTER = {"resource_id": ""}
"""Readings of the whole router; a look-up names attachments."""
FIRST = {**ROUTER, "marker": ""}
FOLLOWING = {**ROUTER, "marker": "*"}
LOOK_UP = {"resource_id": "*"}


@dataclass(frozen=True)
class Fault:
    """What befalls listings: `shows` is how many items a reading of the router surely gets (None: all of them)."""

    rules: tuple[Rule, ...]
    shows: int | None = None
    blind: bool = False
    """Whether it befalls look-ups too, so that what it hides cannot be settled."""

    def hidden(self, standing: int) -> int:
        """How many of these items a reading may miss."""
        return 0 if self.shows is None else standing - self.shows


def fault(kind: str, match: Mapping[str, str], times: int | None = None) -> tuple[Rule]:
    return ({"operation": "list", "fault": kind, "match": match, "times": times},)


FAULTS: Mapping[str, Fault] = {
    "503 once": Fault(fault("refused_before", FOLLOWING, 1)),
    "503 always": Fault(fault("refused_before", FOLLOWING), shows=PAGE),
    "503 everywhere": Fault(fault("refused_before", {}), shows=0, blind=True),
    "half an answer": Fault(fault("truncated_after", FOLLOWING), shows=PAGE),
    "marker left": Fault(fault("marker_left", {})),
    "marker gone once": Fault(fault("marker_gone", ROUTER, 1), shows=PAGE),
    "marker gone": Fault(fault("marker_gone", ROUTER), shows=PAGE),
    "page repeated once": Fault(fault("page_repeated", ROUTER, 1), shows=PAGE),
    "page repeated": Fault(fault("page_repeated", ROUTER), shows=PAGE),
    "first page empty": Fault(fault("page_empty", FIRST), shows=0),
    "next page empty": Fault(fault("page_empty", FOLLOWING), shows=PAGE),
    "every page empty": Fault(fault("page_empty", {}), shows=0, blind=True),
    "first page short": Fault(fault("page_short", FIRST), shows=PAGE // 2),
    "next page short": Fault(fault("page_short", FOLLOWING), shows=PAGE + PAGE // 2),
    "every page short": Fault(fault("page_short", {}), shows=PAGE // 2, blind=True),
}


def prepare(folder: Path, wishes: Sequence[Row]) -> None:
    write_settings(folder, QUICK)
    write_rows(folder / "routers.csv", wishes)


async def night(sky: Cloud, folder: Path, *rules: Rule) -> Ended:
    """Run the inventory while these rules hold."""
    return await sitting(sky, folder, "run", "routers.csv", "--reconcile", "always", rules=rules)


async def sitting(sky: Cloud, folder: Path, *words: str, rules: Sequence[Rule] = ()) -> Ended:
    await sky.script(*rules)
    ended = await sky.run(folder, *words)
    assert "Traceback" not in ended.err, ended.err
    return ended


def assert_exist(outcomes: Sequence[str], befell: Fault) -> None:
    """What stands there is found, or in doubt where nothing could find it."""
    in_doubt = list(outcomes).count("in_doubt")
    assert in_doubt <= (befell.hidden(len(outcomes)) if befell.blind else 0)
    assert list(outcomes).count("exists") == len(outcomes) - in_doubt


async def assert_all_exist(sky: Cloud, folder: Path, wishes: Sequence[Row]) -> None:
    """An honest night finds every row; each stands there once."""
    ended = await night(sky, folder)
    assert ended.code == 0, ended.err
    assert column(folder, "outcome") == ["exists"] * len(wishes)
    await assert_standing(sky, wishes)


async def assert_standing(sky: Cloud, wishes: Sequence[Row]) -> None:
    """What the cloud holds, by an honest listing."""
    await sky.script()
    await sky.control("PATCH", "settings", {"page_max": 2000})
    found = sorted(log["resource_id"] for log in await sky.flow_logs(wishes[0]))
    assert found == sorted(wish["resource_id"] for wish in wishes)


@pytest.mark.parametrize("name", FAULTS)
async def test_what_stands_there_exists_and_the_rest_is_created_once(tmp_path: Path, name: str) -> None:
    prepare(tmp_path, WISHES)
    befell = FAULTS[name]
    async with cloud(page_max=PAGE) as sky:
        await sky.seed(*WISHES[:STANDING])
        ended = await night(sky, tmp_path, *befell.rules)
        outcomes = column(tmp_path, "outcome")
        assert_exist(outcomes[:STANDING], befell)
        assert outcomes[STANDING:] == ["created"] * (len(WISHES) - STANDING)
        assert ended.code == (3 if "in_doubt" in outcomes else 0), ended.err
        statistics = await sky.statistics()
        assert_created_once(statistics, len(WISHES) - STANDING)
        assert statistics["answers"]["create"].get("400", 0) <= befell.hidden(STANDING)
        if "in_doubt" in outcomes:
            await assert_all_exist(sky, tmp_path, WISHES)
        await assert_standing(sky, WISHES)


@pytest.mark.parametrize("name", FAULTS)
async def test_what_an_earlier_night_created_is_never_sent_again(tmp_path: Path, name: str) -> None:
    wishes, befell = WISHES[:NIGHTLY], FAULTS[name]
    prepare(tmp_path, wishes)
    async with cloud(page_max=PAGE) as sky:
        assert (await night(sky, tmp_path)).code == 0
        ended = await night(sky, tmp_path, *befell.rules)
        outcomes = column(tmp_path, "outcome")
        assert_exist(outcomes, befell)
        assert ended.code == (3 if "in_doubt" in outcomes else 0), ended.err
        assert column(tmp_path, "generation") == ["0"] * NIGHTLY
        if "in_doubt" in outcomes:
            await assert_all_exist(sky, tmp_path, wishes)
        assert_created_once(await sky.statistics(), NIGHTLY)
        assert await sky.creates() == NIGHTLY
        await assert_standing(sky, wishes)


@pytest.mark.parametrize("name", ["503 everywhere", "page repeated", "first page empty", "next page short"])
async def test_what_was_taken_and_is_not_shown_is_waited_for_and_never_sent_again(tmp_path: Path, name: str) -> None:
    wishes, befell = WISHES[:NIGHTLY], FAULTS[name]
    prepare(tmp_path, wishes)
    places = [{part: wish[part] for part in ("project_id", "er_id", "resource_id")} for wish in wishes]
    async with cloud(page_max=PAGE) as sky:
        await sky.control("POST", "fates", [{**place, "state": "pending"} for place in places])
        assert (await night(sky, tmp_path)).code == 5
        assert column(tmp_path, "outcome") == ["unverified"] * NIGHTLY

        await sky.control("POST", "fates", [{**place, "state": "available"} for place in places])
        ended = await sitting(sky, tmp_path, "resume", rules=befell.rules)
        outcomes = column(tmp_path, "outcome")
        assert ended.code == 5, ended.err
        assert 1 <= outcomes.count("unverified") <= befell.hidden(NIGHTLY)
        assert outcomes.count("created") == NIGHTLY - outcomes.count("unverified")

        ended = await sitting(sky, tmp_path, "resume")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * NIGHTLY
        assert_created_once(await sky.statistics(), NIGHTLY)
        assert await sky.creates() == NIGHTLY
        await assert_standing(sky, wishes)


@pytest.mark.parametrize("name", ["503 always", "marker gone", "page repeated", "next page empty", "next page short"])
async def test_what_vanished_is_made_again_once_a_whole_listing_shows_that(tmp_path: Path, name: str) -> None:
    wishes, befell = WISHES[:NIGHTLY], FAULTS[name]
    prepare(tmp_path, wishes)
    async with cloud(page_max=PAGE) as sky:
        assert (await night(sky, tmp_path)).code == 0
        # The last of the order of listings: none of the faults shows where it would stand.
        lost = max(report_rows(tmp_path), key=lambda row: row["flow_log_id"])
        await sky.control("DELETE", f"flow-logs/{lost['flow_log_id']}")
        place = int(lost["row"]) - 1

        ended = await night(sky, tmp_path, *befell.rules, *fault("refused_before", LOOK_UP))
        assert ended.code == 3, ended.err
        outcomes = column(tmp_path, "outcome")
        assert outcomes.pop(place) == "in_doubt"
        assert set(outcomes) <= {"exists", "in_doubt"}
        assert await sky.creates() == NIGHTLY

        ended = await night(sky, tmp_path)
        assert ended.code == 0, ended.err
        rows = report_rows(tmp_path)
        again = rows.pop(place)
        assert (again["outcome"], again["generation"]) == ("created", "1")
        assert {(row["outcome"], row["generation"]) for row in rows} == {("exists", "0")}
        statistics = await sky.statistics()
        key = "/".join(lost[part] for part in ("project_id", "er_id", "resource_id", "log_group_id", "log_stream_id"))
        assert statistics["keys_with_two_tokens"] == [key]
        assert statistics["keys_created_twice"] == []
        assert statistics["created_total"] == await sky.creates() == NIGHTLY + 1
        await assert_standing(sky, wishes)


async def test_what_vanished_is_made_again_when_its_own_look_up_shows_that(tmp_path: Path) -> None:
    """The listing of the router says nothing of it, that of its attachment all there is to know."""
    wishes = WISHES[:NIGHTLY]
    prepare(tmp_path, wishes)
    async with cloud(page_max=PAGE) as sky:
        assert (await night(sky, tmp_path)).code == 0
        lost = report_rows(tmp_path)[3]
        await sky.control("DELETE", f"flow-logs/{lost['flow_log_id']}")
        ended = await night(sky, tmp_path, *FAULTS["first page empty"].rules)
        assert ended.code == 0, ended.err
        rows = report_rows(tmp_path)
        again = rows.pop(3)
        assert (again["outcome"], again["generation"]) == ("created", "1")
        assert {(row["outcome"], row["generation"]) for row in rows} == {("exists", "0")}
        assert (await sky.statistics())["created_total"] == await sky.creates() == NIGHTLY + 1
        await assert_standing(sky, wishes)
