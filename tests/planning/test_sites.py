"""Which settings lead to the place of a run: equal endpoints are equal however they are written."""

from pathlib import Path
from typing import Any

import pytest

from batcher.model import LaneKey
from batcher.settings import Settings
from batcher.sites import SiteBook, misplaced
from batcher.wiring import Session, open_cloud
from tests.ledger.book import opened, row, run_record

NORTH, EAST = LaneKey("default", "cn-north-4", "0" * 32), LaneKey("default", "cn-east-3", "1" * 32)
HOST = "https://er.cn-north-4.cloud.example"
OWN = "https://er.cn-north-4.myhuaweicloud.com"
Cloud = dict[str, Any]


def region(name: str = "cn-north-4", **urls: str) -> Cloud:
    return {"regions": {name: urls}}


def session(folder: Path, cloud: Cloud, environment: dict[str, str] | None = None) -> Session:
    keys = {"HUAWEICLOUD_SDK_AK": "AK", "HUAWEICLOUD_SDK_SK": "SK"}
    settings = Settings.model_validate({"cloud": cloud, "credentials": {"metadata": False}})
    return Session(settings=settings, environment={**keys, **(environment or {})}, home=folder)


async def why_elsewhere(
    folder: Path, then: Cloud, now: Cloud, lanes: tuple[LaneKey, ...] = (NORTH,), *, then_in: str = "", now_in: str = ""
) -> str:
    """Record a run of these lanes under the settings `then`, and go on with it under those of `now`."""
    before = session(folder, then, {"HUAWEICLOUD_SDK_PROJECT_ID": then_in})
    run = run_record("r1")
    record = run.__class__(
        **{name: getattr(run, name) for name in run.__slots__}
        | {"settings": {"target": "cloud", **before.settings.model_dump(mode="json")}}
    )
    ledger = await opened(folder / "ledger.db")
    try:
        await ledger.create_run(record)
        rows = [row(number, lane=lane) for number, lane in enumerate(lanes, start=1)]
        async with open_cloud(before) as cloud:
            await ledger.add_rows(record.run_id, rows, await SiteBook(cloud, before).of(lanes))
        await ledger.index_keys(record.run_id)
        await ledger.open_run(record.run_id, (), {})
        after = session(folder, now, {"HUAWEICLOUD_SDK_PROJECT_ID": now_in}).continuing(await ledger.run(record.run_id))
        async with open_cloud(after) as cloud:
            return str(await misplaced(ledger, await ledger.run(record.run_id), cloud, after) or "")
    finally:
        await ledger.close()


SAME: list[tuple[Cloud, Cloud]] = [
    ({}, {}),
    ({}, {"endpoint": OWN, "iam_endpoint": "https://iam.cn-north-4.myhuaweicloud.com"}),
    ({"endpoint": HOST}, {}),
    ({"endpoint": HOST}, {"endpoint": f"{HOST}/"}),
    ({"endpoint": HOST}, {"endpoint": f"{HOST}:443"}),
    ({"endpoint": HOST}, {"endpoint": "er.CN-North-4.Cloud.EXAMPLE"}),
    ({"endpoint": HOST}, {"endpoint": "https://er.{region}.cloud.example"}),
    ({"endpoint": HOST}, region(er=HOST)),
    (region(er=HOST), {"endpoint": HOST}),
    (region(er=HOST), region("cn-east-3", er="https://er.east.example")),
    (region(er=HOST), {"regions": {"cn-north-4": {"er": HOST}, "cn-east-3": {"er": "https://er.east.example"}}}),
    (region(er=HOST), region(er=HOST, iam="https://iam.cloud.example")),
    (region(er=HOST, iam="https://iam.cloud.example"), region(er=HOST)),
]

ELSEWHERE: list[tuple[Cloud, Cloud, str, str]] = [
    ({}, {"endpoint": HOST}, OWN, HOST),
    ({}, region(er=HOST), OWN, HOST),
    ({"endpoint": HOST}, {"endpoint": OWN}, HOST, OWN),
    ({"endpoint": HOST}, {"endpoint": f"{HOST}:8443"}, HOST, f"{HOST}:8443"),
    (
        {"endpoint": "http://127.0.0.1:1"},
        {"endpoint": "http://127.0.0.1:2"},
        "http://127.0.0.1:1",
        "http://127.0.0.1:2",
    ),
    ({"endpoint": HOST}, region(er=OWN), HOST, OWN),
    (region(er=HOST), {"endpoint": OWN}, HOST, OWN),
    (region(er=HOST), region(er=OWN), HOST, OWN),
    ({"iam_endpoint": "https://iam.a.example"}, {"iam_endpoint": "https://iam.b.example"}, "iam.a", "iam.b"),
    ({"lts_endpoint": "https://lts.a.example"}, region(lts="https://lts.b.example"), "lts.a", "lts.b"),
]


@pytest.mark.parametrize(("then", "now"), SAME)
async def test_settings_that_lead_to_the_same_place_are_the_same(tmp_path: Path, then: Cloud, now: Cloud) -> None:
    assert await why_elsewhere(tmp_path, then, now) == ""


@pytest.mark.parametrize(("then", "now", "was", "is_now"), ELSEWHERE)
async def test_settings_that_lead_elsewhere_are_told_with_both_places(
    tmp_path: Path, then: Cloud, now: Cloud, was: str, is_now: str
) -> None:
    why = await why_elsewhere(tmp_path, then, now)
    assert was in why.partition("lead to")[0]
    assert is_now in why.partition("lead to")[2]


async def test_one_region_of_several_that_is_elsewhere_is_named(tmp_path: Path) -> None:
    why = await why_elsewhere(tmp_path, {}, region("cn-east-3", er="https://er.east.example"), (NORTH, EAST))
    assert "`cn-east-3`" in why
    assert "`https://er.east.example`" in why


OURS, THEIRS = "0" * 32, "a" * 32


@pytest.mark.parametrize(
    ("then_in", "now_in", "is_other"),
    [
        (OURS, OURS, False),
        (OURS, "", False),  # they do not say
        ("", THEIRS, False),  # the row named the project, and the provider refuses others' keys there
        (THEIRS, OURS, False),
        (OURS, THEIRS, True),
    ],
)
async def test_the_tenant_is_told_by_the_project_that_its_credentials_named(
    tmp_path: Path, then_in: str, now_in: str, is_other: bool
) -> None:
    why = await why_elsewhere(tmp_path, {}, {}, then_in=then_in, now_in=now_in)
    assert bool(why) == is_other
    assert not is_other or (OURS in why and THEIRS in why)
