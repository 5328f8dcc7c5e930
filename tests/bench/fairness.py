"""Nine healthy projects beside a dead one: how much longer the nine take than without it.

    python -m tests.bench.fairness [ROWS A PROJECT] [ROUNDS]

The tenth project's calls hang for ever. Each round runs the nine alone and then all ten, and prints the ratio of the
time from the first send to the last settlement of the nine.
"""

import asyncio
import statistics
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from tests.e2e.clouds import cloud
from tests.e2e.commands import EMULATOR_KEYS, batcher, report_rows
from tests.e2e.inventories import row, some_project, write_rows

RATE_PER_S = 20
DEAD = some_project(9)


async def makespan_s(rows: int, *, with_the_dead: bool) -> float:
    """How long the nine took."""
    wishes = [row(number, routers=10, projects=10) for number in range(10 * rows)]
    if not with_the_dead:
        wishes = [wish for wish in wishes if wish["project_id"] != DEAD]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inventory = write_rows(folder / "routers.csv", wishes)
        async with cloud() as sky:
            hang = {"match": {"project_id": DEAD}, "fault": "hang", "times": None}
            await sky.script({"operation": "create", **hang}, {"operation": "list", **hang})
            words = sky.words("run", str(inventory), "--for", f"{2 * rows // RATE_PER_S + 5}s", rate=f"{RATE_PER_S}/s")
            await batcher(folder, *words, extra=EMULATOR_KEYS)
        nine = [line for line in report_rows(folder) if line["project_id"] != DEAD]
        if {line["outcome"] for line in nine} != {"created"}:
            raise SystemExit("the nine did not finish")
        began = min(datetime.fromisoformat(line["first_sent_at"]) for line in nine)
        return (max(datetime.fromisoformat(line["settled_at"]) for line in nine) - began).total_seconds()


async def main(rows: int = 200, rounds: int = 3) -> None:
    """Run the rounds and print the figures."""
    ratios = []
    for _ in range(rounds):
        alone_s = await makespan_s(rows, with_the_dead=False)
        beside_s = await makespan_s(rows, with_the_dead=True)
        ratios.append(beside_s / alone_s)
        print(f"nine alone {alone_s:.2f} s, beside a dead tenth {beside_s:.2f} s: {ratios[-1]:.3f}")
    print(f"median of {rounds} rounds: {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    asyncio.run(main(*(int(word) for word in sys.argv[1:])))
