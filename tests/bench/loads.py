"""Large loads through the real command: a million rows, a hundred thousand projects, routers and attachments.

    python -m tests.bench.loads [ROWS] [SHAPE ...]

Each step is a process of its own against `tests.bench.keeping_server`, which answers at once. Printed for each are its
rows, seconds, rows a second, CPU a row, the most memory it had, and when its first call and its first create reached
the server, in seconds from the start of the process. Shapes, all of them unless some are named:

- `rows`: ROWS rows (a million) in one project, 20,000 a router: planned, killed as soon as that is done, resumed,
  killed in the middle, resumed, reported, planned and run once more. The same with 20,000 rows comes first, and the
  ratios of both say whether cost and memory are flat.
- `lanes`, `routers`: a tenth of ROWS, each row in a project, or on a router, of its own.
- `attachments`: a fifth of ROWS, all on one router: discovered, run, taken back.
- `refused`: a tenth of ROWS that are refused for good, and retried.

Machines are shared: believe ratios, and counts that tests hold (`tests/loads/`), before seconds.
"""

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.inventories import row, some_project, some_uuid

BASE_ROWS = 20_000
ROUTER_ROWS = 20_000
STEP_S_MAX = 7_200


@dataclass(frozen=True)
class Step:
    """What one process took."""

    name: str
    rows: int
    seconds: float
    cpu_s: float
    peak_mb: float
    first_call_s: float | None
    first_create_s: float | None

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU a row."""
        return self.cpu_s / self.rows * 1e6

    def line(self, shape: str) -> str:
        """A line of the table."""
        first = "".join(f" {'' if s is None else f'{s:.2f}':>8}" for s in (self.first_call_s, self.first_create_s))
        return (
            f"{shape:<12}{self.name:<28}{self.rows:>10,}{self.seconds:>9.1f}{self.rows / self.seconds:>9,.0f}"
            f"{self.cpu_us:>9.1f}{self.peak_mb:>9.1f}{first}"
        )


HEAD = (
    f"{'shape':<12}{'step':<28}{'rows':>10}{'seconds':>9}{'rows/s':>9}{'CPU us':>9}{'peak MB':>9}"
    f" {'call s':>8} {'create s':>8}"
)


@dataclass
class Provider:
    """The server in a process of its own, and a folder for what is run against it."""

    url: str
    folder: Path
    shape: str
    steps: list[Step] = field(default_factory=list)

    def tell(self, path: str) -> dict[str, Any]:
        """Use the server's control path."""
        with urllib.request.urlopen(f"{self.url}/_{path}", timeout=STEP_S_MAX) as reply:
            return dict(json.load(reply))

    def step(
        self,
        name: str,
        rows: int,
        *words: str,
        kill_at: str = "",
        out: Path | None = None,
        codes: tuple[int, ...] = (0,),
    ) -> Step:
        """Run a command, to its end or until the server has seen what `kill_at` says; print and keep what it took."""
        self.tell("reset")
        with tempfile.TemporaryFile() as errors, (out or Path(os.devnull)).open("wb") as output:
            began = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "-m", "batcher", *words],
                cwd=self.folder,
                env=_environment(self.folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )
            if kill_at:
                self.tell(f"wait?{kill_at}")
                process.send_signal(signal.SIGKILL)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - began
            process.returncode = os.waitstatus_to_exitcode(status)
            errors.seek(0)
            if process.returncode not in ((-signal.SIGKILL,) if kill_at else codes):
                raise SystemExit(f"{self.shape} {name} ended with {process.returncode}: {errors.read().decode()}")
        first = self.tell("seen")["first"]
        at = (first[kind] - began if kind in first else None for kind in ("call", "create"))
        step = Step(name, rows, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, *at)
        print(step.line(self.shape), flush=True)
        self.steps.append(step)
        return step

    def work(self, name: str, rows: int, *words: str, **how: Any) -> Step:
        """As `step`, at full speed."""
        return self.step(name, rows, *words, "--endpoint", self.url, "--rate", "1000000/s", **how)

    def expect(self, rows: int, *outcomes: str) -> None:
        """The newest report must say one of these of each row."""
        text = (self.folder / "reports" / "latest" / "summary.json").read_text(encoding="utf-8")
        counts = json.loads(text)["rows"]["by_outcome"]
        if sum(counts[outcome] for outcome in outcomes) != rows:
            raise SystemExit(f"{self.shape}: the report says {counts}, and {rows} {' or '.join(outcomes)} were due")


def _environment(home: Path) -> dict[str, str]:
    names = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR")
    kept = {name: value for name, value in os.environ.items() if name in names}
    keys = {"HUAWEICLOUD_SDK_AK": "AK", "HUAWEICLOUD_SDK_SK": "SK"}
    return {**kept, **keys, "HOME": str(home), "BATCHER_CREDENTIALS_METADATA": "false"}


@contextmanager
def provider(shape: str, rows: int, routers: int) -> Iterator[Provider]:
    """A server with so many attachments on its routers and no flow log, and an empty folder."""
    command = [sys.executable, "-m", "tests.bench.keeping_server", str(rows), str(routers)]
    with (
        tempfile.TemporaryDirectory(prefix="loads-") as folder,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield Provider(f"http://127.0.0.1:{process.stdout.readline().strip()}", Path(folder), shape)
        finally:
            process.stdin.close()


def inventory(place: Provider, rows: int, *, routers: int, projects: int) -> str:
    """A CSV of so many rows, written as a stream: this process must stay small beside those that it measures."""
    path = place.folder / "inventory.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row(0)))
        writer.writeheader()
        writer.writerows(row(number, routers=routers, projects=projects) for number in range(rows))
    return path.name


def many_rows(rows: int) -> list[Step]:
    """One project from plan to report, killed twice."""
    routers = max(1, rows // ROUTER_ROWS)
    with provider("rows", rows, routers) as place:
        name = inventory(place, rows, routers=routers, projects=1)
        place.work("plan", rows, "plan", name)
        place.work("run, killed once planned", rows, "run", name, kill_at="call=1")
        place.work("resume, killed at half", rows // 2, "resume", kill_at=f"create={rows // 2}")
        place.work("resume to the end", rows - rows // 2, "resume")
        place.expect(rows, "created")
        place.step("report", rows, "report")
        place.work("plan, all there", rows, "plan", name)
        place.work("run, all there", rows, "run", name)
        place.expect(rows, "exists")
        place.step("status", rows, "status")
        return place.steps


def many_lanes(rows: int) -> list[Step]:
    """A project for each row."""
    with provider("lanes", rows, rows) as place:
        return _apart(place, inventory(place, rows, routers=rows, projects=rows), rows)


def many_routers(rows: int) -> list[Step]:
    """A router for each row, in one project."""
    with provider("routers", rows, rows) as place:
        return _apart(place, inventory(place, rows, routers=rows, projects=1), rows)


def _apart(place: Provider, name: str, rows: int) -> list[Step]:
    place.work("plan", rows, "plan", name)
    place.work("plan, on paper", rows, "plan", name, "--output", "json", "--out", "plan.json")
    place.work("run, killed at half", rows // 2, "run", name, kill_at=f"create={rows // 2}")
    place.work("resume to the end", rows - rows // 2, "resume")
    place.expect(rows, "created")
    place.work("run, all there", rows, "run", name)
    place.expect(rows, "exists")
    return place.steps


def many_attachments(rows: int) -> list[Step]:
    """All on one router: found, made, found again, taken back."""
    with provider("attachments", rows, 1) as place:
        logs = ("--log-group-id", some_uuid("group"), "--log-stream-id", some_uuid("stream"))
        place_words = ("--region", "cn-north-4", "--project-id", some_project(0), *logs)
        found = place.folder / "found.csv"
        place.work("discover", rows, "discover", *place_words, out=found)
        place.work("run", rows, "run", found.name, "--preflight", "--lts-endpoint", place.url)
        place.expect(rows, "created")
        place.work("discover --missing", rows, "discover", "--missing", *place_words, out=place.folder / "none.csv")
        run_id = (place.folder / "reports" / "latest").readlink().name
        place.work("undo, killed at half", rows // 2, "undo", run_id, "--yes", kill_at=f"delete={rows // 2}")
        place.work("undo to the end", rows - rows // 2, "undo", run_id, "--yes")
        place.expect(rows, "deleted", "absent")  # what was sent and not recorded is gone, too
        return place.steps


def many_refused(rows: int) -> list[Step]:
    """Refused for good, then retried."""
    with provider("refused", rows, 1) as place:
        name = inventory(place, rows, routers=1, projects=1)
        place.tell("refuse")
        place.work("run, all refused", rows, "run", name, "--max-failures", "100%", codes=(3,))
        place.expect(rows, "failed")
        place.tell("accept")
        place.work("retry", rows, "retry")
        place.expect(rows, "created")
        return place.steps


SHAPES: dict[str, tuple[Callable[[int], list[Step]], int]] = {
    "rows": (many_rows, 1),
    "lanes": (many_lanes, 10),
    "routers": (many_routers, 10),
    "attachments": (many_attachments, 5),
    "refused": (many_refused, 10),
}
"""What is done, and the part of ROWS that it is done with."""


def main(rows: int, *names: str) -> None:
    """Run the shapes and print the table, and the ratios of the first to its small self."""
    print(HEAD)
    for name in names or SHAPES:
        load, part = SHAPES[name]
        small = load(BASE_ROWS) if name == "rows" and rows > BASE_ROWS else []
        large = load(rows // part)
        if small:
            print(f"{rows:,} rows to {BASE_ROWS:,}:")
        for one, other in zip(small, large, strict=bool(small)):
            print(
                f"  {one.name:<28} CPU a row {other.cpu_us / one.cpu_us:5.2f},"
                f" memory {other.peak_mb - one.peak_mb:+6.1f} MB"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 1_000_000, *sys.argv[2:])
