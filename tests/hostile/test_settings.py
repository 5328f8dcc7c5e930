"""Settings, plans and sockets that somebody has tampered with: an error with a remedy, and never a traceback."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.e2e.commands import Ended, batcher, side_by_side
from tests.e2e.inventories import some_rows, write_rows
from tests.hostile.measured import measured
from tests.policy.test_control import LANE, STATUS


def refused(ended: Ended, said: str, code: int = 2) -> None:
    assert ended.code == code, ended.err
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert len(ended.err) < 4_000


@pytest.mark.timeout(60)
async def test_a_settings_file_that_is_none_is_named(tmp_path: Path) -> None:
    deep = tmp_path / "deep.toml"
    deep.write_text("x = " + "[" * 50_000)
    words = ("run", "a.csv", "--config", str(deep), "--show-config")
    refused(await batcher(tmp_path, *words), "cannot be read: it is nested too deep")
    endless = measured(tmp_path, "run", "a.csv", "--config", "/dev/zero", "--show-config")
    assert (endless.code, "larger than" in endless.err) == (2, True)
    assert endless.peak_mib < 200


@pytest.mark.timeout(60)
async def test_an_environment_that_is_no_text_is_named(tmp_path: Path) -> None:
    found = await side_by_side(
        batcher(tmp_path, "run", "a.csv", "--show-config", extra={name: value})
        for name, value in (
            ("BATCHER_CLOUD_ERRORS", "[" * 50_000),
            ("BATCHER_DEFAULTS_REGION", "\udcff"),
        )
    )
    for ended, said in zip(
        found,
        ("`BATCHER_CLOUD_ERRORS` holds broken JSON", "`defaults.region` (environment) holds bytes that are no text"),
        strict=True,
    ):
        refused(ended, said)


@pytest.mark.timeout(60)
async def test_a_folder_whose_name_is_no_text_will_do(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(2))
    words = ("run", str(inventory), "--emulator", "--rate", "200/s", "--reports", "re\udcffports", "--output", "json")
    ended = await batcher(tmp_path, *words)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["settings"]["report"]["directory"] == "re\udcffports"
    text = await batcher(tmp_path, "status", "--emulator", "--reports", "re\udcffports")
    assert "2 of 2" in text.out or "created 2" in text.out


def forged(folder: Path, head: str) -> Path:
    """A plan file with the right seal on a head that batcher has not written."""
    path = folder / "plan.json"
    data = f'{{\n"format": {head},\n"changes": [\n\n],\n'.encode()
    path.write_bytes(data + b'"seal": "' + hashlib.sha256(data).hexdigest().encode() + b'"\n}\n')
    return path


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("[" * 100_000, "is no plan: "),
        ('"\\u001b[2J' + "x" * 9_000 + '"', "and this batcher reads 1"),
    ],
)
async def test_a_forged_plan_is_no_plan(tmp_path: Path, head: str, said: str) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(1))
    ended = await batcher(tmp_path, "run", str(inventory), "--emulator", "--plan", str(forged(tmp_path, head)))
    refused(ended, said)
    assert "\x1b" not in ended.err
    assert "\nhint: " in ended.err


@asynccontextmanager
async def answering(path: Path, line: bytes) -> AsyncIterator[None]:
    """Something at a run's socket that is no run."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(line)
        writer.close()

    async with await asyncio.start_unix_server(answer, path):
        yield


@pytest.mark.timeout(90)
async def test_what_answers_in_place_of_a_run_is_told_and_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    socket = tmp_path / "r" / "ledger.db.sock"
    good, lane = asdict(STATUS), asdict(LANE)
    for status, said in (
        ({**good, "since": float("nan")}, "its `since` is"),
        ({**good, "lanes": [{**lane, "calls": {}}]}, "its `calls` is"),
    ):
        async with answering(socket, json.dumps({"ok": True, "status": status}).encode() + b"\n"):
            refused(await batcher(tmp_path, "ctl", "status", "--reports", "r"), said, code=1)
    odd = {**good, "run_id": "\x1b[2J\u202e", "stop_code": "\x9b31m", "settled": {"\x1b]0;x\x07": 1}}
    async with answering(socket, json.dumps({"ok": True, "status": odd}).encode() + b"\n"):
        for words in ((), ("--output", "json")):
            ended = await batcher(tmp_path, "ctl", "status", "--reports", "r", *words)
            assert ended.code == 0, ended.err
            assert not set(ended.out) & set("\x1b\x9b\x07\u202e")
    async with answering(socket, b'{"ok": false, "error": "' + b"\\u001b[2J" * 5_000 + b'", "hint": [1]}\n'):
        ended = await batcher(tmp_path, "ctl", "status", "--reports", "r")
        refused(ended, "[2J", code=1)
        assert "\x1b" not in ended.err
