"""Credentials while a run works: when they are looked at again, and what a refusal of them leads to."""

import asyncio
import os
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from batcher.cloud.credentials import CredentialOptions, Credentials
from batcher.cloud.keyring import FixedKeyring, Keyring
from batcher.cloud.metadata import Metadata
from batcher.errors import CredentialsError
from tests.cloud.metadata_server import NO_AGENCY, keys, metadata_service
from tests.cloud.servers import transport
from tests.cloud.test_metadata import TEN

HW = {"HW_ACCESS_KEY": "hw-ak", "HW_SECRET_KEY": "hw-sk"}
PROJECT = "0605767a9980d5762fbcc00b3537e757"
OLD = "[basic]\nak = old-ak\nsk = old-sk\n\n[prod]\nak = prod-ak\nsk = prod-sk\n"
NEW = OLD.replace("old-", "new-")
MINUTE = 60.0


@dataclass
class Clock:
    """Both clocks, moved by hand; the keys of the metadata service end at `TEN`."""

    wall: float = TEN - 24 * 3600
    ticks: float = 1000.0

    def now(self) -> float:
        return self.wall

    def steady(self) -> float:
        return self.ticks

    def pass_s(self, seconds: float) -> None:
        self.wall += seconds
        self.ticks += seconds


@dataclass
class World:
    """A home directory and the clocks."""

    home: Path
    clock: Clock

    @property
    def path(self) -> Path:
        return self.home / ".huaweicloud" / "credentials"

    def write(self, text: str) -> None:
        """Rewrite the profile file in place."""
        self.path.write_text(text, encoding="utf-8")

    def replace(self, text: str) -> None:
        """Rename another file onto the profile file."""
        other = self.path.with_name("other")
        other.write_text(text, encoding="utf-8")
        other.replace(self.path)

    def keyring(
        self,
        environment: Mapping[str, str] | None = None,
        metadata: Metadata | None = None,
        options: CredentialOptions | None = None,
    ) -> Keyring:
        return Keyring(
            environment=environment or {},
            home=self.home,
            options=options or CredentialOptions(),
            metadata=metadata,
            now=self.clock.now,
            steady=self.clock.steady,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / ".huaweicloud").mkdir()
    return World(tmp_path, Clock())


async def _key(keyring: Keyring, account: str = "default") -> str:
    return (await keyring.of(account)).access_key


# Order


async def test_the_environment_goes_before_the_file_and_the_file_before_the_metadata_service(world: World) -> None:
    async with metadata_service() as (metadata, service):
        assert await _key(world.keyring(HW, metadata)) == "hw-ak"
        world.write(OLD)
        keyring = world.keyring({}, metadata)
        assert (await _key(keyring), await _key(keyring, "prod")) == ("old-ak", "prod-ak")
        assert service.seen.requests == []
        world.path.unlink()
        assert await _key(world.keyring({}, metadata)) == "meta-ak"


@pytest.mark.parametrize("environment", [{}, {"HUAWEICLOUD_SDK_PROJECT_ID": PROJECT}])
async def test_keys_of_the_metadata_service_get_the_project_of_the_environment(
    world: World, environment: dict[str, str]
) -> None:
    async with metadata_service() as (metadata, _):
        keyring = world.keyring(environment, metadata)
        assert keyring.source_of("default") == ""
        got = await keyring.of("default")
    assert got == Credentials(
        "meta-ak",
        "meta-sk",
        "meta-sts",
        source="the ECS metadata service",
        project_id=environment.get("HUAWEICLOUD_SDK_PROJECT_ID", ""),
        expires_at=TEN,
    )
    assert keyring.source_of("default") == "the ECS metadata service"


async def test_half_a_pair_ends_the_search_before_the_metadata_service(world: World) -> None:
    async with metadata_service() as (metadata, service):
        with pytest.raises(CredentialsError, match="half a key pair"):
            await world.keyring({"HW_ACCESS_KEY": "hush"}, metadata).of("default")
        world.write("[basic]\nak = hush\n")
        with pytest.raises(CredentialsError, match="half a key pair"):
            await world.keyring({}, metadata).of("default")
    assert service.seen.requests == []


async def test_other_accounts_never_get_the_keys_of_the_machine(world: World) -> None:
    async with metadata_service() as (metadata, service):
        with pytest.raises(CredentialsError, match="no credentials for account `prod`; looked at: \\[prod\\]"):
            await world.keyring({}, metadata).of("prod")
    assert service.seen.requests == []


async def test_nothing_found_names_the_metadata_service_and_why(world: World) -> None:
    async with metadata_service(keys_status=401, keys=NO_AGENCY) as (metadata, _):
        with pytest.raises(CredentialsError) as raised:
            await world.keyring({}, metadata).of("default")
    assert str(raised.value) == (
        "no credentials for account `default`; looked at: HW_AUTH_TOKEN, HUAWEICLOUD_SDK_AK/HUAWEICLOUD_SDK_SK, "
        f"CLOUD_SDK_AK/CLOUD_SDK_SK, HW_ACCESS_KEY/HW_SECRET_KEY, [basic] in {world.path}, "
        "the ECS metadata service: no agency is configured for this server"
    )
    assert "HUAWEICLOUD_SDK_AK" in raised.value.hint


async def test_nothing_found_where_there_is_no_metadata_service_says_so(world: World) -> None:
    async with metadata_service() as (_, service):
        url = service.seen.url
    async with transport() as opened:
        with pytest.raises(CredentialsError, match=r", the ECS metadata service: no answer: ") as raised:
            await world.keyring({}, Metadata(opened, url)).of("default")
    assert f"[basic] in {world.path}, " in str(raised.value)


async def test_without_leave_the_metadata_service_is_not_named(world: World) -> None:
    with pytest.raises(CredentialsError) as raised:
        await world.keyring().of("default")
    assert str(raised.value).endswith(f"[basic] in {world.path}")


# The environment


async def test_the_environment_is_read_once(world: World) -> None:
    environment = dict(HW)
    keyring = world.keyring(environment)
    first = await keyring.of("default")
    environment["HW_ACCESS_KEY"] = "other"
    world.clock.pass_s(7 * 24 * 3600)
    assert await keyring.of("default") is first
    assert await keyring.renew("default", first) is None


# The profile file


@pytest.mark.parametrize("how", ["write", "replace"])
async def test_a_changed_file_holds_after_a_second(world: World, how: str) -> None:
    world.write(OLD)
    keyring = world.keyring()
    assert await _key(keyring) == "old-ak"
    getattr(world, how)(NEW + "# longer\n")
    world.clock.pass_s(0.9)
    assert await _key(keyring) == "old-ak"
    world.clock.pass_s(0.1)
    assert await _key(keyring) == "new-ak"
    assert await _key(keyring, "prod") == "prod-ak"


async def test_a_new_time_a_new_size_or_a_new_file_is_enough_to_be_read(world: World) -> None:
    world.write(OLD)
    os.utime(world.path, ns=(0, 0))
    keyring = world.keyring()
    await keyring.of("default")
    for name, how, more, mtime_ns in (
        ("new", world.write, "", 1),
        ("net", world.write, "#", 1),
        ("nex", world.replace, "#", 1),
    ):
        how(OLD.replace("old-", f"{name}-") + more)
        os.utime(world.path, ns=(0, mtime_ns))
        world.clock.pass_s(1)
        assert await _key(keyring) == f"{name}-ak"


async def test_an_unchanged_file_is_not_read_again(world: World) -> None:
    world.write(OLD)
    os.utime(world.path, ns=(0, 0))
    keyring = world.keyring()
    first = await keyring.of("default")
    inode = world.path.stat().st_ino
    world.write(NEW)  # of the same size, at the same time, in the same file
    os.utime(world.path, ns=(0, 0))
    assert world.path.stat().st_ino == inode
    world.clock.pass_s(10)
    assert await keyring.of("default") is first
    renewed = await keyring.renew("default", first)  # a refusal looks in all the same
    assert renewed is not None
    assert renewed.access_key == "new-ak"


@pytest.mark.parametrize("half", [NEW[:20], "[basic", "", "[basic]\n", "[prod]\nak = prod-ak\nsk = prod-sk\n"])
async def test_a_half_written_file_leaves_the_keys_until_it_is_whole(world: World, half: str) -> None:
    world.write(OLD)
    keyring = world.keyring()
    first = await keyring.of("default")
    world.write(half)
    world.clock.pass_s(1)
    assert await keyring.of("default") is first
    assert await keyring.renew("default", first) is None
    world.write(NEW)
    world.clock.pass_s(1)
    assert await _key(keyring) == "new-ak"


async def test_a_file_that_is_gone_leaves_the_keys_until_it_is_back(world: World) -> None:
    world.write(OLD)
    keyring = world.keyring()
    first = await keyring.of("default")
    world.path.unlink()
    world.clock.pass_s(1)
    assert await keyring.of("default") is first
    assert await keyring.renew("default", first) is None
    world.path.mkdir()  # and now it cannot even be read
    world.clock.pass_s(1)
    assert await keyring.of("default") is first
    assert await keyring.renew("default", first) is None
    world.path.rmdir()
    world.write(NEW)
    world.clock.pass_s(1)
    assert await _key(keyring) == "new-ak"


async def test_a_refusal_reads_the_file_at_once(world: World) -> None:
    world.write(OLD)
    keyring = world.keyring()
    refused = await keyring.of("default")
    assert await keyring.renew("default", refused) is None
    world.replace(NEW)
    renewed = await keyring.renew("default", refused)
    assert renewed is not None
    assert renewed.access_key == "new-ak"
    assert await keyring.of("default") is renewed
    assert await keyring.renew("default", refused) is renewed  # a second call that went out with the old keys
    assert await keyring.renew("default", renewed) is None


async def test_other_keys_are_not_what_differs_in_the_project_only(world: World) -> None:
    world.write(OLD)
    keyring = world.keyring()
    refused = await keyring.of("default")
    world.write(OLD.replace("sk = old-sk", f"sk = old-sk\nproject_id = {PROJECT}"))
    assert await keyring.renew("default", refused) is None
    assert (await keyring.of("default")).project_id == PROJECT


async def test_a_refusal_before_the_first_look_up_finds_what_is_there(world: World) -> None:
    world.write(OLD)
    refused = Credentials("elsewhere", "sk")
    renewed = await world.keyring().renew("default", refused)
    assert renewed is not None
    assert renewed.access_key == "old-ak"
    assert await world.keyring().renew("nobody", refused) is None


# The metadata service


async def test_keys_of_the_machine_are_fetched_again_when_fewer_than_40_minutes_are_left(world: World) -> None:
    async with metadata_service() as (metadata, service):
        keyring = world.keyring({}, metadata)
        await keyring.of("default")
        service.keys = keys("next-ak", expires_at="2026-11-24T10:00:00.000000Z")
        world.clock.wall = TEN - 40 * MINUTE
        assert await _key(keyring) == "meta-ak"
        assert service.fetches == 1
        world.clock.wall += 1
        assert await _key(keyring) == "next-ak"
        world.clock.pass_s(20 * 3600)
        assert await _key(keyring) == "next-ak"
        assert service.fetches == 2


async def test_a_failing_service_leaves_the_keys_while_they_are_valid_and_is_asked_now_and_then(world: World) -> None:
    async with metadata_service() as (metadata, service):
        keyring = world.keyring({}, metadata)
        first = await keyring.of("default")
        service.keys_status = 500
        world.clock.pass_s(24 * 3600 - 35 * MINUTE)
        for seconds, fetches in ((0, 2), (29, 2), (1, 3), (29, 3), (1, 4), (34 * MINUTE - 10, 5), (9, 5)):
            world.clock.pass_s(seconds)
            assert await keyring.of("default") is first
            assert service.fetches == fetches
        service.keys_status, service.keys = 200, keys("next-ak")
        world.clock.pass_s(20)
        assert await _key(keyring) == "next-ak"


async def test_ended_keys_are_an_error_until_the_service_has_others(world: World) -> None:
    async with metadata_service() as (metadata, service):
        keyring = world.keyring({}, metadata)
        await keyring.of("default")
        service.keys_status = 500
        world.clock.pass_s(24 * 3600 - 10)
        await keyring.of("default")
        world.clock.pass_s(10)  # 10 s into the pause, the keys end
        for fetches in (3, 3):
            with pytest.raises(CredentialsError, match=r"the ECS metadata service: it refused the keys \(HTTP 500\)"):
                await keyring.of("default")
            assert service.fetches == fetches
        service.keys_status, service.keys = 200, keys("next-ak", expires_at="2026-11-24T10:00:00.000000Z")
        world.clock.pass_s(30)
        assert await _key(keyring) == "next-ak"


async def test_keys_that_are_due_as_they_come_are_fetched_twice_a_minute_at_most(world: World) -> None:
    async with metadata_service() as (metadata, service):
        keyring = world.keyring({}, metadata)
        world.clock.wall = TEN - 39 * MINUTE
        for seconds, fetches in ((0, 1), (29, 1), (1, 2), (29, 2)):
            world.clock.pass_s(seconds)
            assert await _key(keyring) == "meta-ak"
            assert service.fetches == fetches


async def test_keys_that_have_ended_by_our_clock_are_used_where_the_service_has_no_others(world: World) -> None:
    async with metadata_service() as (metadata, _):
        keyring = world.keyring({}, metadata)
        world.clock.wall = TEN + 60
        assert await _key(keyring) == "meta-ak"
        world.clock.pass_s(31)
        assert await _key(keyring) == "meta-ak"


async def test_keys_without_a_date_are_fetched_every_ten_minutes(world: World) -> None:
    async with metadata_service(keys=keys(expires_at=None)) as (metadata, service):
        keyring = world.keyring({}, metadata)
        for seconds, fetches in ((0, 1), (599, 1), (1, 2)):
            world.clock.pass_s(seconds)
            assert await _key(keyring) == "meta-ak"
            assert service.fetches == fetches
        service.keys_status = 500
        world.clock.pass_s(600)
        assert await _key(keyring) == "meta-ak"


async def test_many_first_calls_make_one_fetch(world: World) -> None:
    async with metadata_service() as (metadata, service):
        keyring = world.keyring({}, metadata)
        service.open.clear()
        calls = [asyncio.create_task(keyring.of("default")) for _ in range(20)]
        await service.asked.wait()
        service.open.set()
        found = await asyncio.gather(*calls)
    assert {one.access_key for one in found} == {"meta-ak"}
    assert service.fetches == 1


async def test_many_first_calls_share_a_failure(world: World) -> None:
    async with metadata_service(keys_status=500) as (metadata, service):
        keyring = world.keyring({}, metadata)
        found = await asyncio.gather(*(keyring.of("default") for _ in range(20)), return_exceptions=True)
    assert [type(one) for one in found] == [CredentialsError] * 20
    assert service.fetches == 1


async def test_calls_go_on_with_valid_keys_while_others_are_fetched(world: World) -> None:
    async with metadata_service() as (metadata, service):
        keyring = world.keyring({}, metadata)
        first = await keyring.of("default")
        world.clock.pass_s(24 * 3600 - 39 * MINUTE)
        service.keys = keys("next-ak", expires_at="2026-11-24T10:00:00.000000Z")
        service.asked.clear()
        service.open.clear()
        due = asyncio.create_task(keyring.of("default"))
        await service.asked.wait()
        assert await keyring.of("default") is first
        service.open.set()
        assert (await due).access_key == "next-ak"
        assert await _key(keyring) == "next-ak"
    assert service.fetches == 2


async def test_a_refusal_fetches_at_once_and_many_make_one_fetch(world: World) -> None:
    async with metadata_service() as (metadata, service):
        keyring = world.keyring({}, metadata)
        refused = await keyring.of("default")
        service.keys = keys("next-ak")
        service.asked.clear()
        service.open.clear()
        renewals = [asyncio.create_task(keyring.renew("default", refused)) for _ in range(20)]
        await service.asked.wait()
        assert await keyring.of("default") is refused  # nothing is known against it for other calls yet
        service.open.set()
        renewed = await asyncio.gather(*renewals)
        assert {one.access_key if one else None for one in renewed} == {"next-ak"}
        assert await keyring.renew("default", refused) == renewed[0]  # renewed meanwhile
        assert service.fetches == 2


async def test_a_refusal_that_the_service_cannot_mend_gives_none(world: World) -> None:
    async with metadata_service() as (metadata, service):
        keyring = world.keyring({}, metadata)
        refused = await keyring.of("default")
        assert await keyring.renew("default", refused) is None  # the same keys again
        service.keys_status = 500
        assert await keyring.renew("default", refused) is None
        service.keys_status, service.keys = 200, keys("next-ak")
        renewed = await keyring.renew("default", refused)  # at once, whatever failed before
        assert renewed is not None
        assert renewed.access_key == "next-ak"


async def test_a_cancelled_fetch_leaves_it_to_the_next_who_waits(world: World) -> None:
    async with metadata_service() as (metadata, service):
        keyring = world.keyring({}, metadata)
        service.open.clear()
        first = asyncio.create_task(keyring.of("default"))
        second = asyncio.create_task(keyring.of("default"))
        await service.asked.wait()
        first.cancel()
        service.open.set()
        assert (await second).access_key == "meta-ak"
        assert first.cancelled()


# What is said


async def test_a_profile_file_that_others_can_read_is_worth_a_warning(world: World) -> None:
    world.write(OLD)
    world.path.chmod(0o640)
    keyring = world.keyring()
    assert not keyring.warnings
    await keyring.of("default")
    assert keyring.warnings == (f"other users can read the profile file {world.path}; `chmod 600` keeps it private",)
    world.path.chmod(0o600)
    fresh = world.keyring()
    await fresh.of("default")
    assert not fresh.warnings
    unused = world.keyring(HW)
    world.path.chmod(0o644)
    await unused.of("default")
    assert not unused.warnings


async def test_named_variables_that_are_not_set_end_the_search(world: World) -> None:
    """Going on would send the work with the keys of somebody else."""
    options = CredentialOptions(access_key_variable="MY_AK", secret_key_variable="MY_SK")
    keyring = world.keyring(HW, options=options)
    with pytest.raises(CredentialsError, match="`MY_AK/MY_SK` was named as the source of credentials and is not set"):
        await keyring.of("default")
    named = world.keyring({"MY_AK": "a", "MY_SK": "s"}, options=options)
    assert (await named.of("default")).source == "MY_AK/MY_SK"


async def test_no_error_holds_a_secret(world: World) -> None:
    world.write("[basic]\nak = hush-ak\nsk = hush-sk\nhush\n")
    with pytest.raises(CredentialsError) as broken:
        await world.keyring().of("default")
    world.path.unlink()
    async with metadata_service(keys=keys("hush-ak", securitytoken="hush hush")) as (metadata, _):
        with pytest.raises(CredentialsError) as refused:
            await world.keyring({}, metadata).of("default")
    for error in (broken.value, refused.value):
        assert "hush" not in "".join(traceback.format_exception(error)) + error.hint


async def test_the_fixed_keyring_has_one_set_for_all() -> None:
    fixed = FixedKeyring(Credentials("a", "s", source="the embedded emulator"))
    assert (await fixed.of("any")).access_key == "a"
    assert await fixed.renew("any", await fixed.of("any")) is None
    assert (fixed.source_of("any"), fixed.warnings) == ("the embedded emulator", ())
