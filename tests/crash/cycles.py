"""Kill `batcher` and go on, at random, and hold what it tells against the cloud's memory.

    python -m tests.crash.cycles [COUNT [SEED [SIDE_BY_SIDE]]]

A cycle is a job of its own: a random inventory (with invalid rows, twins, and rows that are there already, as wished or
otherwise), a cloud in a process of its own with random faults, and `batcher`, killed one to three times with SIGKILL,
at a named point (`points.POINTS`) or at any moment, each time gone on with by the same command or by `resume`. Every
third is taken back afterwards, and killed over that too. After each kill, and at the end, everything is judged.

Each cycle prints its seed and what was done: `python -m tests.crash.cycles 1 SEED` draws the same one again, though not
to the millisecond. The last line sums up; a fault is printed where it is found, and makes the exit code 1.
"""

import asyncio
import random
import signal
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.judge import Verdict, after_a_kill, at_the_end, at_the_end_of_an_undo
from tests.crash.scenes import Scene, Sort, lines_of, scene
from tests.crash.traces import Run, drawn, runs_of

AT_ONCE = 8
"""Cycles side by side, which wait most of the time; each has its own folder and cloud."""
SITTINGS_MAX = 12
"""A job that is not over by then has no end; faults end after half of them."""
WEIGHTS = {
    Sort.PLAIN: 12,
    Sort.THERE: 2,
    Sort.DRIFTED: 2,
    Sort.INVALID: 1,
    Sort.DUPLICATE: 1,
    Sort.CONFLICT: 1,
    Sort.DOOMED: 1,
    Sort.REFUSED: 1,
    Sort.SWITCHED_OFF: 2,
}
ONCE = (
    *("create_run", "add_rows", "index_keys", "settle_plan", "open_run", "reopen", "acquire", "release", "claim"),
    *("end_sitting", "regenerate", "verify", "put_back", "found", "migrate", "statement", "change"),
)
"""What a run comes to a few times at most, or not at all."""
OFTEN = ("send", "answer", "settle", "list")
FILES = ("draft", "sync", "rename")
UNDO = ("create_run", "copy_made", "open_run", "acquire", "claim_these", "delete", "answer", "settle", "verify")
KINDS = ("refused_before", "error_after", "lost_before", "lost_after", "truncated_after", "throttled")


@dataclass
class Cycle:
    """One job, from its seed."""

    seed: int
    chance: random.Random = field(init=False)
    told: list[str] = field(default_factory=list)
    """What was done, in order."""
    kills: int = 0
    rows: int = 0
    verdict: Verdict = field(default_factory=Verdict)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    async def work(self, folder: Path) -> None:
        """Do it all."""
        chance = self.chance
        self.rows = chance.randint(8, 60)
        sorts = [Sort.PLAIN, *chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=self.rows - 1)]
        lines = lines_of(sorts, routers=chance.randint(1, 5), projects=chance.randint(1, 3))
        cloud = [f"--pending={chance.choice((0, 0, 0.3, 0.8))}", f"--deleting={chance.choice((0, 0, 0.3))}"]
        cloud += [f"--latency={chance.choice((0, 0, 0.02))}", f"--throttle={chance.choice(('150/s', '1000/s'))}"]
        async with scene(folder, lines, *cloud, f"--seed={self.seed}") as stage:
            await self._make_trouble(stage)
            words = self._words()
            run = await self._sittings(stage, stage.run(*words), undoing=None)
            self.verdict += await at_the_end(stage, run.id, fix_drift="--fix-drift" in words, unrecorded=True)
            if chance.random() < 1 / 3:
                await self._make_trouble(stage)
                undone = await self._sittings(stage, stage.words("undo", run.id, "--yes"), undoing=run)
                self.verdict += await at_the_end_of_an_undo(stage, undone.id, undone=run.id)

    def _words(self) -> list[str]:
        chance = self.chance
        words = ["--reconcile", chance.choice(("auto", "always", "never"))]
        words += chance.choice(([], ["--fix-drift"]))
        return words + chance.choice(([], ["--concurrency", "3"]))

    async def _make_trouble(self, stage: Scene) -> None:
        """Faults of the cloud: shares of calls, and creates that are refused and may be tried again."""
        chance = self.chance
        shares: dict[str, object] = {kind: round(chance.uniform(0, 0.1), 3) for kind in KINDS if chance.random() < 0.4}
        shares["on"] = ["create", "delete", *chance.choice(([], [], ["list"], ["update", "disable"]))]
        await stage.sky.control("PATCH", "settings", {"faults": shares})
        busy = {"operation": "create", "fault": "status", "status": 400, "code": "ER.04008502", "match": {}}
        await stage.refuse({**busy, "skip": chance.randint(0, 20), "times": chance.randint(1, 3)})
        self.told.append(f"faults {shares}")

    async def _sittings(self, stage: Scene, first: tuple[str, ...], *, undoing: Run | None) -> Run:
        """Sit, killed one to three times, until the job is over and reported; the run that it is."""
        kills = self.chance.randint(1, 3)
        for sitting in range(SITTINGS_MAX):
            if sitting == SITTINGS_MAX // 2:
                await stage.sky.control("PATCH", "settings", {"faults": {}})
                await stage.refuse()
            run = next((run for run in runs_of(stage.ledger) if (run.operation == "undo") is bool(undoing)), None)
            is_over = run is not None and run.state == "finished" and not await _is_left(stage, run)
            words = ("report", run.id) if run and is_over else first
            if run is not None and run.state == "open" and self.chance.random() < 0.5:
                words = stage.words("resume", run.id)
            if sitting < kills or not self.kills:
                await self._killed(stage, words, undoing=undoing is not None)
                continue
            if (code := await self._ends(stage, words)) not in (0, 3, 5):
                self.verdict.untrue.append(f"`{words[0]}` ended with {code}")
            if run is not None and is_over:
                return run
        raise AssertionError(f"no end after {SITTINGS_MAX} sittings")

    async def _killed(self, stage: Scene, words: tuple[str, ...], *, undoing: bool) -> None:
        """One sitting that is killed, unless it is over before."""
        chance, point, moment_s = self.chance, "", None
        if chance.random() < 0.3:
            moment_s = round(chance.uniform(0.3, 4.0), 2)
        else:
            names = FILES if words[0] == "report" else UNDO if undoing else chance.choice((ONCE, OFTEN, OFTEN, FILES))
            name = chance.choice(names)
            last = self.rows if name in (*OFTEN, "delete") else 6 if name in FILES else 2
            point = f"{name}.{chance.choice(('before', 'after'))}:{chance.randint(1, last)}"
        code, err = await stage.ends(*words, point=point, within_s=moment_s)
        was_killed = code == -signal.SIGKILL
        self.kills += was_killed
        self.told.append(f"{words[0]} {point or f'{moment_s} s'}{'' if was_killed else ' (not reached)'}")
        if "Traceback" in err:
            self.verdict.untrue.append(err)
        self.verdict += await after_a_kill(stage)

    async def _ends(self, stage: Scene, words: tuple[str, ...]) -> int:
        code, err = await stage.ends(*words)
        self.told.append(f"{words[0]}: {code}")
        if "Traceback" in err:
            self.verdict.untrue.append(err)
        return code


async def _is_left(stage: Scene, run: Run) -> bool:
    """Whether a run that is over has rows that another sitting would take up."""
    return any(row["outcome"] in ("skipped", "unverified") for row in await drawn(stage.ledger, run.id))


async def _done(seed: int) -> Cycle:
    cycle = Cycle(seed)
    with tempfile.TemporaryDirectory(prefix="batcher-cycle-") as folder:
        try:
            await cycle.work(Path(folder))
        except Exception as error:  # noqa: BLE001  # told with its seed; the other cycles go on
            cycle.verdict.untrue.append(f"{type(error).__name__}: {error}")
    return cycle


def done(seed: int) -> Cycle:
    """A cycle from its beginning to its end, in a process of the pool; printed."""
    cycle = asyncio.run(_done(seed))
    print(f"seed {seed}: {cycle.rows} rows; {'; '.join(cycle.told)}", flush=True)
    for fault in (*cycle.verdict.duplicates, *cycle.verdict.lost, *cycle.verdict.untrue):
        print(f"seed {seed}: FAULT: {fault}", flush=True)
    return cycle


def main(count: int = 200, seed: int = 1, side_by_side: int = AT_ONCE) -> int:
    """Do so many cycles, print each and the sum; 1 where anything is wrong."""
    with ProcessPoolExecutor(side_by_side) as pool:
        cycles = list(pool.map(done, range(seed, seed + count)))
    found = sum((cycle.verdict for cycle in cycles), Verdict())
    print(
        f"cycles {count}, kills {sum(cycle.kills for cycle in cycles)}, rows {sum(cycle.rows for cycle in cycles)},"
        f" duplicates {len(found.duplicates)}, lost {len(found.lost)}, untrue {len(found.untrue)}"
        f" (in doubt at the end {found.doubtful})"
    )
    return int(bool(found.duplicates or found.lost or found.untrue))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
