"""Files that were found, not named: only what nobody else can have written is believed. Being others takes root."""

import grp
import os
import pwd
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from batcher.cli.main import main
from batcher.cloud.credentials import find_credentials
from batcher.emulator.server import EmulatorSettings, StateError, running
from batcher.errors import CredentialsError
from batcher.ownership import why_not_ours
from tests.e2e.clouds import Cloud
from tests.e2e.commands import EMULATOR_KEYS, Ended, batcher, but_unchecked
from tests.e2e.inventories import some_rows, write_rows
from tests.storage.begun import LEDGER, Begun, beside

pytestmark = [
    pytest.mark.timeout(60),  # several whole commands a test
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user"),
]

NOBODY = 65534
STRANGERS = 54321
"""A group that no list of groups knows, and that is none of ours."""
SECRET = "Sesame-of-mine"


def of_another(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def for_all(path: Path) -> None:
    path.chmod(0o777 if path.is_dir() else 0o666)


def of_a_group(path: Path) -> None:
    os.chown(path, 0, STRANGERS)
    path.chmod(0o775 if path.is_dir() else 0o664)


def sticky(path: Path) -> None:
    path.chmod(0o1777)


def nothing(path: Path) -> None:
    """As it was made."""


def linked(path: Path) -> None:
    """Ours, by a link that somebody else made."""
    path.rename(path.with_name("ours"))
    path.symlink_to("ours")
    of_another(path)


def linked_by_us(path: Path) -> None:
    path.rename(path.with_name("ours"))
    path.symlink_to("ours")


Doing = Callable[[Path], None]
SPOILT: dict[str, tuple[Doing, Doing, str]] = {
    "another's": (of_another, nothing, "belongs to `nobody`"),
    "open to all": (for_all, nothing, "can be written by everybody"),
    "open to a group": (of_a_group, nothing, f"can be written by the group `{STRANGERS}`"),
    "by another's link": (linked, nothing, "belongs to `nobody`"),
    "in another's folder": (nothing, of_another, "belongs to `nobody`"),
    "in a folder for all": (nothing, for_all, "can be written by everybody"),
    "in a group's folder": (nothing, of_a_group, f"can be written by the group `{STRANGERS}`"),
    "another's, for all to read, in a sticky folder": (of_another, sticky, "belongs to `nobody`"),
}
"""What is done to a file, to its folder, and why it is not believed then."""
FINE: dict[str, tuple[Doing, Doing]] = {
    "as it was made": (nothing, nothing),
    "in a sticky folder": (nothing, sticky),
    "by a link of ours": (linked_by_us, nothing),
}


def shared(tmp_path: Path, spoil: tuple[Doing, Doing], text: str) -> Path:
    """An inventory, and settings beside it, in a folder; both spoilt."""
    (folder := tmp_path / "shared").mkdir(mode=0o755)
    inventory = write_rows(folder / "routers.csv", some_rows(3))
    (folder / "batcher.toml").write_text(text, encoding="utf-8")
    spoil[0](folder / "batcher.toml")
    spoil[1](folder)
    return inventory


def stealing(sky: Cloud) -> str:
    return f'[cloud]\nendpoint = "{sky.url}"\n[credentials]\nauth_token_variable = "ANY_SECRET"\n'


@pytest.mark.parametrize("name", SPOILT)
async def test_settings_that_somebody_else_may_have_written_are_refused_before_anything_is_sent(
    sky: Cloud, tmp_path: Path, name: str
) -> None:
    *spoil, says = SPOILT[name]
    inventory = shared(tmp_path, (spoil[0], spoil[1]), stealing(sky))
    ended = await batcher(tmp_path, "plan", str(inventory), extra={"ANY_SECRET": SECRET})
    assert ended.code == 2, ended.err
    file = inventory.with_name("batcher.toml")
    assert ended.err.startswith(f"batcher: the settings file `{file}` was found, and is not used: ")
    assert says in ended.err
    assert f"hint: `--config {file}` uses it all the same" in ended.err
    assert SECRET not in ended.err
    statistics = await sky.statistics()
    assert (statistics["calls"], statistics["unauthorized_by_key"]) == ({}, {})


@pytest.mark.parametrize("command", ["validate", "run", "doctor", "status", "resume", "report", "ctl status"])
def test_every_command_refuses_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "batcher.toml").write_text('[run]\nrate = "5/s"\n')
    of_another(tmp_path / "batcher.toml")
    inventory = [str(write_rows(tmp_path / "r.csv", some_rows(1)))] if command in ("validate", "run") else []
    assert main([*command.split(), *inventory]) == 2
    assert "was found, and is not used" in capsys.readouterr().err


async def test_the_two_ways_out_that_the_refusal_names(sky: Cloud, tmp_path: Path) -> None:
    inventory = shared(tmp_path, (of_another, for_all), f'[cloud]\nendpoint = "{sky.url}"\n')
    file = str(inventory.with_name("batcher.toml"))
    ended = await batcher(tmp_path, "plan", str(inventory), "--config", file, extra=EMULATOR_KEYS)
    assert (ended.code, but_unchecked(ended.err)) == (0, "")
    words = sky.words("plan", str(inventory), "--config", "/dev/null")
    ended = await batcher(tmp_path, *words, extra=EMULATOR_KEYS)
    assert (ended.code, but_unchecked(ended.err)) == (0, "")


@pytest.mark.parametrize("name", FINE)
async def test_our_own_settings_are_used_and_where_they_send_keys_is_told(
    sky: Cloud, tmp_path: Path, name: str
) -> None:
    inventory = shared(tmp_path, FINE[name], f'[cloud]\nendpoint = "{sky.url}"\n[run]\nrate = "90/s"\n')
    ended = await batcher(tmp_path, "plan", str(inventory), "--no-progress", extra=EMULATOR_KEYS)
    file = inventory.with_name("batcher.toml")
    assert (ended.code, but_unchecked(ended.err)) == (
        0,
        f"batcher: `{file}` says where calls and keys go: cloud.endpoint\n",
    )
    for words in (["-q"], ["--endpoint", sky.url], ["--emulator"], ["--config", str(file)]):
        ended = await batcher(tmp_path, "plan", str(inventory), "--no-progress", *words, extra=EMULATOR_KEYS)
        assert (ended.code, but_unchecked(ended.err)) == (0, ""), words


def test_what_a_plain_user_believes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """His own files and root's."""
    (file := tmp_path / "batcher.toml").touch()
    tmp_path.chmod(0o755)
    monkeypatch.setattr("os.geteuid", lambda: NOBODY)
    assert why_not_ours(file) == ""
    of_another(file)
    assert why_not_ours(file) == ""
    of_another(tmp_path)
    assert why_not_ours(file) == ""
    os.chown(file, 4711, 4711)
    assert why_not_ours(file) == f"`{file}` belongs to `user 4711`"


def test_a_group_that_is_the_owners_alone_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where each user has a group of his own, and what he makes is open to it."""
    groups = Counter(user.pw_gid for user in pwd.getpwall())
    one, two = [
        user
        for user in pwd.getpwall()
        if user.pw_uid and groups[user.pw_gid] == 1 and not grp.getgrgid(user.pw_gid).gr_mem
    ][:2]
    (file := tmp_path / "batcher.toml").touch()
    for path in (file, tmp_path):
        os.chown(path, one.pw_uid, one.pw_gid)
        path.chmod(path.stat().st_mode | 0o020)
    monkeypatch.setattr("os.geteuid", lambda: one.pw_uid)
    assert why_not_ours(file) == ""
    os.chown(file, one.pw_uid, two.pw_gid)
    assert why_not_ours(file) == f"`{file}` can be written by the group `{grp.getgrgid(two.pw_gid).gr_name}`"
    monkeypatch.setattr("os.getgroups", lambda: [STRANGERS])
    os.chown(file, one.pw_uid, STRANGERS)  # a container without a list of users
    assert why_not_ours(file) == ""


def test_links_that_lead_round_come_to_an_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "too many" in why_not_ours(tmp_path / "a")


# --- the ledger -----------------------------------------------------------------------------------------


def commands(begun: Begun) -> list[list[str]]:
    return [
        ["status"],
        ["report"],
        ["resume"],
        ["retry"],
        ["undo", begun.run_id, "--yes"],
        ["run", "routers.csv"],
        ["plan", "routers.csv"],
    ]


async def work(sky: Cloud, folder: Path, words: list[str]) -> Ended:
    return await (batcher(folder, *words) if words[0] in ("status", "report") else sky.run(folder, *words))


@pytest.mark.parametrize("name", ["another's", "open to all", "open to a group", "by another's link"])
async def test_a_found_ledger_that_somebody_else_may_have_written_is_refused(
    begun: Begun, sky: Cloud, tmp_path: Path, name: str
) -> None:
    ledger = begun.copy(tmp_path, closed=True)
    spoil, _, says = SPOILT[name]
    spoil(ledger)
    for words in commands(begun) if name == "another's" else [["resume"]]:
        ended = await work(sky, tmp_path, words)
        assert ended.code == 2, (words, ended.err)
        assert "the ledger `reports/ledger.db` was found, and is not used: " in ended.err
        assert says in ended.err
    assert (await sky.statistics())["calls"] == {}


@pytest.mark.parametrize("suffix", ["-wal", ".lock"])
async def test_so_is_one_beside_which_somebody_else_has_put_something(
    begun: Begun, sky: Cloud, tmp_path: Path, suffix: str
) -> None:
    of_another(beside(begun.copy(tmp_path), suffix))
    for words in ["resume"], ["resume", "--ledger", f"reports/{LEDGER}"]:
        ended = await sky.run(tmp_path, *words)
        assert ended.code == 2, ended.err
        assert "belongs to `nobody`" in ended.err


async def test_another_users_ledger_can_be_named(begun: Begun, sky: Cloud, tmp_path: Path) -> None:
    ledger = begun.copy(tmp_path)
    for path in (ledger.parent, *ledger.parent.glob(f"{LEDGER}*")):
        of_another(path)
    ended = await batcher(tmp_path, "status", "--ledger", f"reports/{LEDGER}")
    assert (ended.code, but_unchecked(ended.err)) == (0, "")
    ended = await sky.run(tmp_path, "resume", "--reports", "reports")
    assert ended.code == 0, ended.err
    assert "the folder `reports` belongs to `nobody`" in ended.err
    assert f"the ledger `reports/{LEDGER}` belongs to `nobody`" in ended.err
    assert ledger.stat().st_uid == NOBODY


FOLDERS: dict[str, tuple[Doing, str, int, int]] = {
    "as it was made": (nothing, "", 0, 0),
    "sticky": (sticky, "", 0, 0),
    "a group's": (of_a_group, f"can be written by the group `{STRANGERS}`", 0, 0),
    "another's": (of_another, "belongs to `nobody`", 2, 0),
    "for all": (for_all, "can be written by everybody", 2, 2),
}
"""A folder of reports: what is said of it, and how a run ends where it was found, and where it was named."""


@pytest.mark.parametrize("name", FOLDERS)
async def test_a_folder_that_others_may_write_is_refused_or_warned_of(sky: Cloud, tmp_path: Path, name: str) -> None:
    spoil, says, found, named = FOLDERS[name]
    inventory = str(write_rows(tmp_path / "routers.csv", some_rows(3)))
    (tmp_path / "reports").mkdir(mode=0o755)
    spoil(tmp_path / "reports")
    for words, code in (([], found), (["--reports", "reports"], named)):
        ended = await sky.run(tmp_path, "run", inventory, *words)
        assert ended.code == code, ended.err
        assert says in ended.err
        assert bool(ended.err) == bool(says)
    rehearsed = await batcher(tmp_path, "run", inventory, "--emulator", "--no-progress", "--rate", "100/s")
    assert rehearsed.code == named, rehearsed.err
    assert says in rehearsed.err


async def test_a_report_is_not_written_where_everybody_may_change_it(begun: Begun, tmp_path: Path) -> None:
    for_all(begun.copy(tmp_path).parent)
    ended = await batcher(tmp_path, "report")
    assert ended.code == 1
    assert "can be written by everybody" in ended.err
    assert "chmod o-w" in ended.err


async def test_a_lock_that_is_a_link_empties_nothing(tmp_path: Path) -> None:
    inventory = str(write_rows(tmp_path / "routers.csv", some_rows(2)))
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "rehearsal.db.lock").symlink_to("../victim")
    of_another(tmp_path / "reports")
    ended = await batcher(tmp_path, "run", inventory, "--emulator", "-q")
    assert ended.code == 2, ended.err
    assert "is a link" in ended.err
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("make", [Path.symlink_to, Path.hardlink_to])
async def test_no_state_of_an_emulator_is_kept_by_a_link(
    tmp_path: Path, suffix: str, make: Callable[[Path, Path], None]
) -> None:
    (tmp_path / "victim").write_text("precious")
    state = tmp_path / "rehearsal.db.emulator"
    make(Path(f"{state}{suffix}"), tmp_path / "victim")
    with pytest.raises(StateError, match="is a link"):
        async with running(EmulatorSettings(state_path=state)):
            pass
    assert (tmp_path / "victim").read_text() == "precious"


# --- the profile file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SPOILT, *FINE])
def test_a_found_profile_file_must_be_ours_and_a_named_one_need_not(tmp_path: Path, name: str) -> None:
    (folder := tmp_path / ".huaweicloud").mkdir(mode=0o755)
    (file := folder / "credentials").write_text("[basic]\nak = AKMINE\nsk = SKMINE\n")
    file.chmod(0o600)
    spoil = SPOILT[name][:2] if name in SPOILT else FINE[name]
    spoil[0](file)
    spoil[1](folder)
    if name in SPOILT:
        with pytest.raises(CredentialsError, match="was found, and is not used") as refusal:
            find_credentials("default", {}, tmp_path)
        assert "BATCHER_CREDENTIALS_PROFILE_FILE" in refusal.value.hint
        assert "SKMINE" not in str(refusal.value) + refusal.value.hint
    environment = {"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(file)} if name in SPOILT else {}
    found = find_credentials("default", environment, tmp_path)
    assert found is not None
    assert found.access_key == "AKMINE"


# --- what a killed plan leaves --------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows what a process has open")
async def test_a_killed_plan_leaves_nothing_in_the_folder_for_temporary_files(sky: Cloud, tmp_path: Path) -> None:
    (temporary := tmp_path / "temporary").mkdir()
    inventory = str(write_rows(tmp_path / "routers.csv", some_rows(20_000)))
    places = {**EMULATOR_KEYS, "TMPDIR": str(temporary)}
    async with sky.slowly(tmp_path, "plan", inventory, rate="1/s", keys=places) as plan:
        while not (await sky.statistics())["calls"]:
            pass
        kept_open = [str(file.readlink()) for file in Path(f"/proc/{plan.process.pid}/fd").iterdir()]
        plan.process.kill()
        await plan.process.wait()
    assert any(name.startswith(str(temporary)) and name.endswith("(deleted)") for name in kept_open), "it is in memory"
    assert list(temporary.iterdir()) == []
