"""How long a person waits for the words that do no work, beside another version in the same run.

    python -m tests.bench.start [OTHER_TREE] [ROUNDS]

`batcher --help` and `batcher status` of a ledger of `RUNS` runs, each a process of its own, in turn with `python -c
"import aiohttp"`, and with the batcher of another source tree if one is named. Prints the median of each, and its
ratio to that import and to the other tree. Each tree reads a ledger that it has written itself.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e.inventories import write_inventory

RUNS = 50
HERE = Path(__file__).resolve().parents[2]


def call(tree: Path, folder: Path, *words: str) -> None:
    """Run a command of the batcher in this tree, in this folder."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled once, as where it is installed
    command = (sys.executable, "-m", "batcher", *words)
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)


def ledger_of(tree: Path, folder: Path) -> Path:
    """A folder with a ledger of so many runs, each of an inventory of its own."""
    folder.mkdir()
    for number in range(RUNS):
        name = write_inventory(folder / f"routers-{number}.csv", 3).name
        call(tree, folder, "run", name, "--emulator", "--rate", "200/s", "--quiet")
    return folder


def took_ms(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def main(other: Path | None, rounds: int) -> None:
    """Measure them in turn."""
    trees = {"here": HERE} | ({"other": other} if other else {})
    with tempfile.TemporaryDirectory() as name:
        folders = {which: ledger_of(tree, Path(name) / which) for which, tree in trees.items()}
        works: dict[tuple[str, str], Callable[[], object]] = {
            ("import aiohttp", "base"): lambda: subprocess.run((sys.executable, "-c", "import aiohttp"), check=True)
        }
        for which, tree in trees.items():
            for words in (("--help",), ("status", "--emulator")):
                place = (tree, folders[which], *words)
                works[words[0], which] = lambda place=place: call(*place)  # type: ignore[misc]
        times = {key: [took_ms(work)] for key, work in works.items()}
        for _ in range(rounds - 1):
            for key, work in works.items():
                times[key].append(took_ms(work))
    medians = {key: statistics.median(found) for key, found in times.items()}
    base = medians["import aiohttp", "base"]
    for (what, which), median in medians.items():
        beside = medians.get((what, "other")) if which == "here" else None
        ratio = f", {median / beside:.2f} of the other tree's" if beside else ""
        print(f"{what:15} {which:6} {median:7.0f} ms, {median / base:.2f} of the import{ratio}")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(Path(given[0]).resolve() if given else None, int(given[1]) if len(given) > 1 else 15)
