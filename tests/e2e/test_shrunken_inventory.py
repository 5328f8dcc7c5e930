"""An inventory that lacks rows of its last run: plan and run say the same, and what was begun or reviewed goes on."""

from pathlib import Path

from tests.e2e.commands import batcher, summary
from tests.e2e.inventories import some_rows, write_rows

RUN = ("run", "routers.csv", "--emulator", "--no-progress", "--rate")
PLAN = ("plan", "routers.csv", "--emulator")
LACKS = "`routers.csv` lacks 25 of the 30 rows that run `"


async def shrunken(folder: Path) -> None:
    """A night of 30 rows, and 5 of them are left in the inventory of the next."""
    write_rows(folder / "routers.csv", some_rows(30))
    assert (await batcher(folder, *RUN, "500/s")).code == 0
    write_rows(folder / "routers.csv", some_rows(5))


async def test_a_plan_ends_as_the_run_would(tmp_path: Path) -> None:
    await shrunken(tmp_path)
    out = tmp_path / "plan.json"
    for words in (PLAN, (*PLAN, "--out", str(out)), ("run", "routers.csv", "--emulator", "--dry-run")):
        ended = await batcher(tmp_path, *words)
        assert (ended.code, ended.out) == (2, ""), words
        assert LACKS in ended.err
        assert "`--max-gone 25` goes on" in ended.err
    assert not out.exists()
    assert (await batcher(tmp_path, *PLAN, "--max-gone", "25")).code == 0
    assert (await batcher(tmp_path, *PLAN, "--max-gone", "24")).code == 2
    elsewhere = await batcher(tmp_path, *PLAN, "--ledger", "other.db")
    assert elsewhere.code == 0, "no run of another ledger had these rows"
    write_rows(tmp_path / "other.csv", some_rows(5))
    assert (await batcher(tmp_path, "plan", "other.csv", "--emulator")).code == 0, "another name is another inventory"


async def test_a_reviewed_plan_is_done_with_the_rows_that_may_be_gone(tmp_path: Path) -> None:
    await shrunken(tmp_path)
    assert (await batcher(tmp_path, *PLAN, "--max-gone", "25", "--out", "plan.json")).code == 0
    refused = await batcher(tmp_path, *RUN, "500/s", "--plan", "plan.json")
    assert refused.code == 2
    assert LACKS in refused.err
    ended = await batcher(tmp_path, *RUN, "500/s", "--plan", "plan.json", "--max-gone", "25")
    assert ended.code == 0, ended.err


async def test_what_was_begun_goes_on_without_the_word_that_let_it_begin(tmp_path: Path) -> None:
    await shrunken(tmp_path)
    write_rows(tmp_path / "routers.csv", some_rows(70)[-40:])
    begun = await batcher(tmp_path, *RUN, "1/s", "--for", "1s", "--max-gone", "30", "--allow-empty")
    assert begun.code == 5, begun.err
    first = summary(tmp_path)["run_id"]
    ended = await batcher(tmp_path, *RUN, "500/s")
    assert ended.code == 0, ended.err
    assert summary(tmp_path)["run_id"] == first
    assert "(continued)" in ended.out


async def test_rows_that_cannot_be_read_are_not_gone(tmp_path: Path) -> None:
    """Their faults are named, as ever: nobody knows which rows they were."""
    rows = some_rows(30)
    write_rows(tmp_path / "routers.csv", rows)
    assert (await batcher(tmp_path, *RUN, "500/s")).code == 0
    write_rows(tmp_path / "routers.csv", [{**row, "er_id": row["er_id"].replace("-", "_")} for row in rows])
    for words in (PLAN, (*RUN, "500/s")):
        assert (await batcher(tmp_path, *words)).code == 3, words
    assert summary(tmp_path)["rows"]["by_outcome"]["invalid"] == 30


async def test_an_undo_is_no_last_run(tmp_path: Path) -> None:
    rows = some_rows(30)
    write_rows(tmp_path / "routers.csv", rows)
    assert (await batcher(tmp_path, *RUN, "500/s")).code == 0
    assert (await batcher(tmp_path, "undo", "latest", "--emulator", "--yes", "--no-progress")).code == 0
    write_rows(tmp_path / "routers.csv", rows[:14])
    for words in (PLAN, (*RUN, "500/s")):
        ended = await batcher(tmp_path, *words)
        assert ended.code == 2, words
        assert "lacks 16 of the 30 rows" in ended.err
