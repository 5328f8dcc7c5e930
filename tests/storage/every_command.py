"""Every kind of damage and every strange place, met by every command as a process: the long form of `test_damage`.

    .venv/bin/python -m tests.storage.every_command           # all, some two minutes
    .venv/bin/python -m tests.storage.every_command noise     # those with this word in their names

It prints a line for each, and ends with 1 if a command showed a traceback, hung, sent a create, changed what is
damaged, or gave no hint where it refused.
"""

import asyncio
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.e2e.clouds import Cloud, cloud
from tests.e2e.commands import Ended, batcher
from tests.storage.begun import Begun, contents, make_begun
from tests.storage.test_damage import HARMS, harmed
from tests.storage.test_places import PLACES

COMMAND_S_MAX = 60.0
Prepare = Callable[[Path], Path]


def commands(begun: Begun, folder: Path) -> list[list[str]]:
    """Each command that opens a ledger."""
    inventory = str(folder / "routers.csv")
    return [
        ["status"],
        ["report"],
        ["plan", inventory],
        ["run", inventory],
        ["resume"],
        ["retry"],
        ["undo", begun.run_id, "--yes"],
    ]


def cases(begun: Begun) -> dict[str, Prepare]:
    """How each kind of trouble is prepared in a folder."""
    found: dict[str, Prepare] = {name: partial(_harmed, begun, name) for name in HARMS}
    return found | {name: partial(_replaced, begun, make) for name, (make, _) in PLACES.items()}


def _harmed(begun: Begun, name: str, folder: Path) -> Path:
    return harmed(begun, folder, name)


def _replaced(begun: Begun, make: Callable[[Path], object], folder: Path) -> Path:
    ledger = begun.copy(folder, closed=True)
    ledger.unlink()
    make(ledger)
    return ledger


async def look(sky: Cloud, folder: Path, ledger: Path, words: list[str]) -> tuple[str, Ended | None]:
    """What is wrong with how a command ended, or nothing; and how it ended."""
    is_file = ledger.is_file() and not ledger.is_symlink()
    before = contents(ledger) if is_file else {}
    creates = await sky.creates()
    options = ["--reports", str(ledger.parent)]
    try:
        async with asyncio.timeout(COMMAND_S_MAX):
            if words[0] in ("status", "report"):
                ended = await batcher(folder, *words, *options)
            else:
                ended = await sky.run(folder, *words, *options)
    except TimeoutError:
        return "it hangs", None
    checks = {
        "a traceback": "Traceback" in ended.err,
        "it sent": await sky.creates() != creates,
        "the damage was written over": is_file and contents(ledger) != before,
        "no hint": ended.code not in (0, 3) and "hint: " not in ended.err,
    }
    return ", ".join(name for name, is_so in checks.items() if is_so), ended


async def main(word: str) -> int:
    """Try all; 1 if anything was wrong."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="batcher-") as name:
        begun = await make_begun(Path(name) / "begun")
        async with cloud() as sky:
            for number, (case, prepare) in enumerate(cases(begun).items()):
                for words in commands(begun, begun.folder) if word in case else ():
                    folder = Path(name) / f"{number}-{words[0]}"
                    folder.mkdir()
                    wrong, ended = await look(sky, folder, prepare(folder), words)
                    failed += bool(wrong)
                    code = "-" if ended is None else ended.code
                    said = "" if ended is None else (ended.err or ended.out).splitlines()[0]
                    print(f"{wrong or 'as it should be'}: {case}: {words[0]}: {code}: {said}", flush=True)
    print(f"{failed} wrong")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(" ".join(sys.argv[1:]))))
