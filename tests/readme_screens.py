"""The screens in README.md: what `batcher` shows on a terminal, taken from one.

They are full of numbers that differ from run to run; `shape` is what of them must stay.
"""

import re
import tempfile
from pathlib import Path

from tests.e2e.clouds import cloud
from tests.e2e.commands import EMULATOR_KEYS, batcher
from tests.e2e.inventories import some_project, some_rows, write_rows
from tests.e2e.undos import on_terminal

RATE = ("--rate", "10/s")


async def lanes() -> str:
    """Two lanes at work, one of which has trouble."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "routers.csv", some_rows(40, routers=2, projects=2))
        async with cloud() as sky:
            one = {"project_id": some_project(0)}
            await sky.script({"operation": "create", "match": one, "fault": "status", "status": 503, "times": 4})
            _, shown = await on_terminal(folder, "run", "routers.csv", "--endpoint", sky.url, *RATE)
    lines = lines_of(shown)
    at = next(number for number, line in enumerate(lines) if "retrying" in line and "silent" not in line)
    begin = max(number for number, line in enumerate(lines[:at]) if line.startswith("lane "))
    end = next(number for number, line in enumerate(lines[at:], at) if line.startswith("["))
    return "\n".join(lines[begin : end + 1])


async def status() -> str:
    """The morning after three nights: a good one, one with failures, and one that was killed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wishes = some_rows(120, routers=2, projects=2)
        async with cloud() as sky:
            for night, rows in (("routers.csv", 40), ("routers.csv", 80), ("more.csv", 120)):
                write_rows(folder / night, wishes[:rows])
                if rows == 80:
                    await sky.script(
                        {"operation": "create", "fault": "status", "status": 400, "code": "ER.04000015", "times": 3}
                    )
                if night == "more.csv":
                    async with sky.slowly(folder, "run", night, rate="5/s") as work:
                        await work.until("row.settled", 5)
                        work.process.kill()
                        await work.end()
                else:
                    await batcher(folder, "run", night, "--endpoint", sky.url, "--rate", "50/s", extra=EMULATOR_KEYS)
        ended = await batcher(folder, "status")
    return "\n".join(["$ batcher status", *ended.out.rstrip().splitlines()])


def lines_of(shown: str) -> list[str]:
    """What a terminal was sent, without colours and moves of its cursor, line by line."""
    bare = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    return [line.rstrip() for line in bare.replace("\r", "\n").splitlines() if line.strip()]


def shape(screen: str) -> str:
    """A screen without its numbers, its bar and the widths of its columns."""
    screen = re.sub(r"\[#*\.*\]", "BAR", screen)
    screen = re.sub(r"\b[0-9a-f]{8}\b", "ID", screen)
    screen = re.sub(r"\d+([-,.:]\d+)*", "N", screen)
    screen = re.sub(r"(; about \w+ left)|; none settled yet|; N created", "", screen)
    return re.sub(r" +", " ", screen)


SCREENS = {
    "screen of the lanes": lanes,
    "screen of the status": status,
}
