"""`reports/README.md` says what the code does: columns, outcomes, codes, keys, and an example that is output."""

import json
import re
from pathlib import Path

import batcher
from batcher.model import Outcome
from batcher.policy.verdict import OWN_CODES
from batcher.report.publish import publish
from batcher.report.rows import RowProjection
from tests.report.world import OPERATION, ORIGIN, FakeLedger, example_run, run_record

PACKAGE = Path(batcher.__file__).parent
README = (Path(__file__).parents[2] / "reports" / "README.md").read_text("utf-8")


def table(header: str) -> dict[str, str]:
    """The first two columns of the table with this header cell; back-quotes around the first removed."""
    body = README.split(f"\n| {header} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in body]
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0].strip("`"): row[1] for row in rows}


def test_every_column_is_explained_in_order() -> None:
    assert tuple(table("column")) == RowProjection(OPERATION, run_record()).columns


def test_every_outcome_is_explained() -> None:
    assert set(table("outcome")) == {outcome.value for outcome in Outcome}


def test_the_codes_are_those_of_the_code() -> None:
    assert list(table("error_code").items()) == [(str(code), meaning) for code, meaning in OWN_CODES.items()]


def test_every_code_that_the_package_writes_is_in_the_table() -> None:
    sources = [path for pattern in ("*.py", "*.sql") for path in PACKAGE.rglob(pattern)]
    written = {code for path in sources for code in re.findall(r"BATCHER\.[A-Z]\w+", path.read_text("utf-8"))}
    assert written - set(OWN_CODES) == set()


async def test_the_example_is_what_the_code_writes(tmp_path: Path) -> None:
    run, rows = example_run()
    done = await publish(FakeLedger(rows), OPERATION, run, tmp_path, ("csv", "jsonl"), origin=ORIGIN)
    example = README.split("```json\n", 1)[1].split("```", 1)[0]
    assert example == (done.directory / "summary.json").read_text("utf-8")
    assert set(table("key")) == set(json.loads(example))
    assert set(table("file")) == set(json.loads(example)["files"])
