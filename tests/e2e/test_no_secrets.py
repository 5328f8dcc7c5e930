"""Whatever is refused, no secret is written anywhere: every byte of output and of every file is looked at."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.cloud.metadata_server import Service
from tests.cloud.servers import serving
from tests.e2e import echoes, secrets
from tests.e2e.clouds import Cloud, cloud
from tests.e2e.commands import Ended, batcher, report_rows, side_by_side, write_settings
from tests.e2e.inventories import row, some_rows, write_rows
from tests.e2e.secrets import QUICK, assert_none, leaks, secrets_in, spellings
from tests.e2e.test_accounts import write_profile
from tests.e2e.test_doctor import place

NAMED = ("--access-key-env", "MY_AK", "--secret-key-env", "MY_SK", "--security-token-env", "MY_STS")


@dataclass(frozen=True)
class Source:
    """One way to give credentials: `known` is what a gateway may quote of them."""

    known: tuple[str, ...]
    extra: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    account: str = ""

    @property
    def world(self) -> dict[str, Any]:
        """Settings of a cloud that takes them."""
        access, secret, *_ = self.known
        return {"keys": {access: secret}} if access else {"auth_tokens": frozenset({secrets.AUTH_TOKEN})}


KEYS = (secrets.ACCESS, secrets.SECRET, secrets.SECURITY_TOKEN)
SOURCES = {
    "environment": Source(KEYS, secrets.KEYS),
    "named variables": Source(KEYS, dict(zip(NAMED[1::2], KEYS, strict=True)), NAMED),
    "token": Source(("", "", "", secrets.AUTH_TOKEN), secrets.TOKEN),
    "profile": Source((secrets.NORTH_ACCESS, secrets.NORTH_SECRET), account="north"),
    "metadata": Source((secrets.META_ACCESS, secrets.META_SECRET, secrets.META_TOKEN)),
}


@asynccontextmanager
async def prepared(folder: Path, source: Source, rows: int) -> AsyncIterator[tuple[Cloud, dict[str, str], Path]]:
    """A cloud, the environment with the source in it, and an inventory; the profile file is the one of `folder`."""
    folder.mkdir(exist_ok=True)
    write_settings(folder, QUICK)
    write_profile(folder, north={"ak": secrets.NORTH_ACCESS, "sk": secrets.NORTH_SECRET})
    inventory = write_rows(folder / "routers.csv", some_rows(rows, account=source.account))
    temporary = {"access": secrets.META_ACCESS, "secret": secrets.META_SECRET, "securitytoken": secrets.META_TOKEN}
    service = Service(keys=json.dumps({"credential": temporary}).encode(), token=secrets.SESSION_TOKEN.encode())
    service.open.set()
    async with serving(service.handle) as seen, cloud(**source.world) as sky:
        asked = {"BATCHER_CREDENTIALS_METADATA": "true", "BATCHER_CREDENTIALS_METADATA_ENDPOINT": seen.url}
        yield sky, {**source.extra, **asked}, inventory


Outcome = tuple[tuple[int, ...], list[str]]
"""Exit codes, and leaks."""


def outcome_of(folder: Path, *ended: Ended) -> Outcome:
    """How commands ended in a folder, and what leaked there."""
    return tuple(command.code for command in ended), leaks(folder, *ended, own=[profile_of(folder)])


def profile_of(folder: Path) -> Path:
    """The one file that holds secrets by the user's own hand."""
    return folder / ".huaweicloud" / "credentials"


@pytest.mark.parametrize("name", ["environment", "token", "profile", "metadata"])
async def test_what_a_gateway_quotes_in_any_refusal_of_a_row_is_written_nowhere(tmp_path: Path, name: str) -> None:
    """Every text in every shape, through every command that works on a ledger or shows it."""
    source = SOURCES[name]
    said = list(echoes.rules("create", (400, 500, 404, 502, 409), *echoes.texts(*source.known)))
    wishes = some_rows(len(said) + 3)
    async with prepared(tmp_path, source, len(wishes)) as (sky, extra, inventory):
        for rule, wish in zip(said, wishes, strict=False):
            rule["match"] = {"resource_id": wish["resource_id"]}
        lost = [
            {"operation": "create", "fault": fault, "match": {"resource_id": wish["resource_id"]}}
            for fault, wish in zip(("truncated_after", "lost_after", "throttled"), wishes[-3:], strict=True)
        ]
        await sky.script(*said, *lost)
        ended = [
            await batcher(tmp_path, *sky.words(*words, rate="1000/s"), *source.words, *talk, extra=extra)
            for words, talk in (
                (("run", str(inventory)), ("-vv",)),
                (("retry",), ("-vv", "--output", "json")),
            )
        ]
        assert [command.code for command in ended] == [3, 3], ended[-1].err
        shown = [
            ("status", "-vv", "--output", "json"),
            ("status", str(json.loads(ended[-1].out)["run_id"])),
            ("report", "-vv", "--output", "json"),
        ]
        ended += await side_by_side(batcher(tmp_path, *words, extra=extra) for words in shown)
        assert [command.code for command in ended[2:]] == [0, 0, 0], ended[-1].err
    assert_none(leaks(tmp_path, *ended, own=[profile_of(tmp_path)]))
    messages = [line["error_message"] for line in report_rows(tmp_path)]
    assert sum("***" in message for message in messages) > len(said) / 2


async def test_what_a_gateway_quotes_when_it_refuses_the_keys_is_written_nowhere(tmp_path: Path) -> None:
    """For the first call of a run or a visit; mostly that stops the account, so each has a run of its own."""

    async def one(number: int, source: Source, rule: Mapping[str, Any]) -> Outcome:
        folder = tmp_path / str(number)
        async with prepared(folder, source, 2) as (sky, extra, inventory):
            await sky.script(
                *({**rule, "operation": operation} for operation in ("list", "create", "quotas", "routers"))
            )
            if number % 2:
                words = sky.words("run", str(inventory), "--output", "json", "-vv")
            else:
                words = ("doctor", "--endpoint", sky.url, *place(), "-vv", "--output", "json")
                words = (*words, "--profile", source.account) if source.account else words
            ended = await batcher(folder, *words, *source.words, extra=extra)
        return outcome_of(folder, ended)

    cases = []
    for number, source in enumerate(SOURCES.values()):
        said = list(echoes.rules("list", (401, 403, 302), *echoes.texts(*source.known)))
        cases += [(source, rule) for rule in islice(said, number, None, 23)]
    assert {rule["status"] for _, rule in cases} == {401, 403, 302}
    outcomes = await side_by_side(one(number, *case) for number, case in enumerate(cases))
    assert_none(found for _, leaked in outcomes for found in leaked)
    assert {codes for codes, _ in outcomes} <= {(3,), (7,)}


async def test_wrong_keys_of_every_kind_are_written_nowhere(tmp_path: Path) -> None:
    async def one(name: str) -> Outcome:
        folder = tmp_path / name
        async with prepared(folder, SOURCES[name], 2) as (sky, extra, inventory):
            await sky.control("PATCH", "settings", {"keys": {"SOMEONEELSE": "x"}})
            wrong = {**extra, **({"HW_AUTH_TOKEN": secrets.AUTH_TOKEN + "x"} if name == "token" else {})}
            words = sky.words("run", str(inventory), "-vv", *SOURCES[name].words)
            return outcome_of(folder, await batcher(folder, *words, extra=wrong))

    outcomes = await side_by_side(map(one, SOURCES))
    assert_none(found for _, leaked in outcomes for found in leaked)
    assert [codes for codes, _ in outcomes] == [(7,)] * len(SOURCES)


async def test_what_other_services_quote_in_a_refusal_is_written_nowhere(tmp_path: Path) -> None:
    """IAM refuses the look-up of a project; LTS, and Enterprise Router for what is only read, refuse a visit."""
    source = SOURCES["environment"]
    said = echoes.texts(*source.known)
    homeless = [{name: value for name, value in row(0).items() if name != "project_id"}]

    async def looked_up(number: int, rule: Mapping[str, Any]) -> Outcome:
        folder = tmp_path / f"iam {number}"
        async with prepared(folder, source, 1) as (sky, extra, inventory):
            write_rows(inventory, homeless)
            await sky.script(rule)
            ended = [
                await batcher(folder, *sky.words("run", str(inventory)), "-vv", extra=extra),
                await batcher(folder, "doctor", "--endpoint", sky.url, *place(project_id=""), "-vv", extra=extra),
            ]
        return outcome_of(folder, *ended)

    async def read(number: int, *struck: Mapping[str, Any]) -> Outcome:
        folder = tmp_path / f"reads {number}"
        async with prepared(folder, source, 1) as (sky, extra, _):
            await sky.script(*struck)
            ended = await batcher(folder, "doctor", "--endpoint", sky.url, *place(er_id=""), "-vv", extra=extra)
        assert ended.out.count("failed ") >= 2, ended.out
        return outcome_of(folder, ended)

    looked = list(echoes.rules("projects", (401, 403, 400), *said))[::23]
    reads = [
        [{**rule, "operation": operation} for operation in ("quotas", "routers", "list", "log_groups", "log_streams")]
        for rule in list(echoes.rules("list", (400, 404), *said))[3::25]
    ]
    commands = [looked_up(number, rule) for number, rule in enumerate(looked)]
    outcomes = await side_by_side([*commands, *(read(number, *struck) for number, struck in enumerate(reads))])
    assert_none(found for _, leaked in outcomes for found in leaked)
    assert {code for codes, _ in outcomes for code in codes} == {7}


def test_the_scan_finds_what_is_there(tmp_path: Path) -> None:
    """Every spelling of every secret, half a secret, a header of any value, in a file or in what was said."""
    clean = Ended(0, "Authorization: ***\nX-Auth-Token: ***, no secret", "batcher: an authorization lacks")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".hidden").write_bytes(b"nothing \xff here")
    assert leaks(tmp_path, clean) == []
    for secret in secrets.SECRETS:
        for spelled in spellings(secret):
            assert secrets_in(b"before\0" + spelled + b"\xffafter"), spelled
        for prefix in ("a", "ab", "abc"):
            assert secrets_in(base64.b64encode(f"{prefix}{secret}:x".encode()))
    assert secrets_in(secrets.AUTH_TOKEN[:-3].encode())
    assert secrets_in(secrets.SECRET.encode().hex().upper().encode())
    for header in ("Authorization: Basic eA==", '"X-Auth-Token": "x"', "x-security-token=1", f"Signature={'0f' * 32}"):
        assert secrets_in(header.encode()), header
    assert f"said: b'batcher: {secrets.ACCESS}'" in leaks(tmp_path, Ended(0, "", f"batcher: {secrets.ACCESS}"))
    hidden = tmp_path / "deep" / ".hidden"
    hidden.write_bytes(b"x" * 9000 + secrets.META_TOKEN.encode())
    assert {leak.split(":")[0] for leak in leaks(tmp_path, clean)} == {".hidden"}
    assert leaks(tmp_path, clean, own=[hidden]) == []


async def test_a_run_that_goes_on_after_its_keys_were_refused_writes_them_nowhere(tmp_path: Path) -> None:
    """Refused with a quotation, resumed to its end while a row is refused with another."""
    source = SOURCES["environment"]
    refused, failed, *_ = echoes.rules("create", (401, 500), *echoes.texts(*source.known))
    async with prepared(tmp_path, source, 3) as (sky, extra, inventory):
        await sky.script({**refused, "status": 401, "operation": "create"})
        ended = [await batcher(tmp_path, *sky.words("run", str(inventory), "-vv"), extra=extra)]
        await sky.script({**failed, "status": 500, "operation": "create", "times": 4})
        ended.append(await batcher(tmp_path, *sky.words("resume", "-vv", "--output", "json"), extra=extra))
        assert [command.code for command in ended] in ([7, 0], [7, 3]), ended[-1].err
    assert_none(leaks(tmp_path, *ended, own=[profile_of(tmp_path)]))
