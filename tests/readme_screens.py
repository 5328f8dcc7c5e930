"""The screens in README.md: what `batcher` shows on a terminal, taken from one.

They are full of numbers that differ from run to run; `shape` is what of them must stay.
"""

import re
import tempfile
from pathlib import Path

from tests.e2e.clouds import cloud
from tests.e2e.commands import EMULATOR_KEYS, batcher, dead_address, write_settings
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


async def bad_night() -> str:
    """The end of a run with rows that the provider keeps as failed or refuses, a wrong row, and a dead region."""
    with tempfile.TemporaryDirectory() as name, dead_address() as address:
        folder = Path(name)
        wishes = some_rows(300, routers=2, salt="north")
        wishes[40]["resource_id"] = "vpc-4f1c"
        other = some_rows(60, region="eu-west-9", er_id="a43c55e9-4911-4030-90e1-5c2bf6ae6fe2", salt="west")
        write_rows(folder / "routers.csv", [*wishes, *other])
        async with cloud() as sky:
            places = [{name: wish[name] for name in ("project_id", "er_id", "resource_id")} for wish in wishes]
            await sky.control("POST", "fates", [{**place, "state": "failed"} for place in places[100:120]])
            refusal = {"operation": "create", "fault": "status", "status": 404, "code": "ER.04044001"}
            await sky.script({**refusal, "message": "the attachment does not exist", "times": 3})
            regions = {"eu-west-9": f"http://{address}", "cn-north-4": sky.url}
            write_settings(folder, "".join(f'[cloud.regions.{name}]\ner = "{url}"\n' for name, url in regions.items()))
            ended = await batcher(
                folder, "run", "routers.csv", "--rate", "200/s", "--for", "6s", "-q", extra=EMULATOR_KEYS
            )
    return "\n".join(["$ batcher run routers.csv --for 6s --quiet", *ended.out.rstrip().splitlines()])


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
    "screen of a bad night": bad_night,
}
