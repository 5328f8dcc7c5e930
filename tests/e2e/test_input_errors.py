"""Faults of an inventory as a whole, which used to pass: nothing is sent, and the message says how to go on."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.e2e.commands import batcher, column, report_rows, summary
from tests.e2e.inventories import some_rows, some_uuid, write_rows

RUN = ("--emulator", "--rate", "500/s", "--no-progress")
HEADER = ",".join(some_rows(1)[0]) + "\n"


@pytest.mark.parametrize(("name", "text"), [("a.csv", HEADER), ("a.json", "[]"), ("a.json", '{"rows": []}')])
async def test_an_inventory_without_a_row_is_an_error(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    for words in (("validate", name), ("plan", name, "--emulator"), ("run", name, *RUN)):
        ended = await batcher(tmp_path, *words)
        assert (ended.code, ended.out) == (2, ""), words
        assert f"`{name}` has no row; nothing was sent" in ended.err
        assert "--allow-empty" in ended.err
    assert (await batcher(tmp_path, "run", name, *RUN, "--allow-empty")).code == 0
    assert (await batcher(tmp_path, "validate", name, "--allow-empty")).code == 0


async def test_an_inventory_that_shrank_is_an_error_until_it_is_meant(tmp_path: Path) -> None:
    async def night(rows: Sequence[Mapping[str, str]], *words: str) -> tuple[int, str]:
        write_rows(tmp_path / "routers.csv", rows)
        ended = await batcher(tmp_path, "run", "routers.csv", *RUN, *words)
        return ended.code, ended.err

    rows = some_rows(30)
    assert (await night(rows))[0] == 0
    first = summary(tmp_path)["run_id"]
    assert (await night(rows[:15]))[0] == 0, "half of them may be gone"
    assert (await night(rows))[0] == 0
    last = summary(tmp_path)["run_id"]
    code, said = await night(rows[:14])
    assert code == 2
    assert f"`routers.csv` lacks 16 of the 30 rows that run `{last}` had; nothing was sent" in said
    assert "`--max-gone 16` goes on" in said
    assert summary(tmp_path)["run_id"] == last != first
    listed = await batcher(tmp_path, "status", "--emulator", "--output", "json")
    assert len(json.loads(listed.out)) == 3, "a refused inventory is no run"
    assert (await night(rows[:14], "--max-gone", "16"))[0] == 0
    assert (await night(rows[:7]))[0] == 0, "of fewer than 20 rows a share says nothing"
    assert (await night(rows[:3], "--max-gone", "50%"))[0] == 2, "unless it was asked for"
    assert (await night(rows[:3], "--max-gone", "four"))[0] == 2
    other = write_rows(tmp_path / "other.csv", some_rows(2))
    assert (await batcher(tmp_path, "run", str(other), *RUN)).code == 0, "another name is another inventory"


async def test_a_plan_of_rows_that_cannot_be_made_ends_with_3(tmp_path: Path) -> None:
    wishes = some_rows(3)
    write_rows(tmp_path / "good.csv", wishes)
    write_rows(tmp_path / "bad.csv", [*wishes, {**wishes[0], "resource_id": "vpc-1"}])
    for words in ((), ("--check",)):
        assert (await batcher(tmp_path, "plan", "bad.csv", "--emulator", *words)).code == 3
    assert (await batcher(tmp_path, "plan", "good.csv", "--emulator")).code == 0


async def test_a_rehearsal_holds_rows_to_the_same_regions(tmp_path: Path) -> None:
    write_rows(tmp_path / "routers.csv", some_rows(2, region="cn-nowhere-9"))
    checked = await batcher(tmp_path, "validate", "routers.csv")
    rehearsed = await batcher(tmp_path, "run", "routers.csv", *RUN)
    assert (checked.code, rehearsed.code) == (3, 3)
    assert column(tmp_path, "outcome") == ["invalid"] * 2
    assert report_rows(tmp_path)[0]["error_message"] in checked.out
    own = ("--endpoint", "http://127.0.0.1:9")
    assert (await batcher(tmp_path, "validate", "routers.csv", *own)).code == 0, "an endpoint of one's own serves any"
    assert (await batcher(tmp_path, "run", "routers.csv", *RUN, *own)).code == 0


async def test_the_providers_list_of_attachments_is_told_from_an_inventory(tmp_path: Path) -> None:
    """There `id` is the attachment's, and `resource_id` that of the VPC."""
    items = [{**wish, "id": some_uuid(f"own {at}"), "resource_type": "vpc"} for at, wish in enumerate(some_rows(3))]
    (tmp_path / "list.json").write_text(json.dumps({"attachments": items}))
    for words in (("validate", "list.json"), ("plan", "list.json", "--emulator"), ("run", "list.json", *RUN)):
        ended = await batcher(tmp_path, *words)
        assert ended.err.count("--map resource_id=id") == 1, words
    mapped = await batcher(tmp_path, "validate", "list.json", "--map", "resource_id=id")
    assert (mapped.code, mapped.err) == (0, "")
    write_rows(tmp_path / "own.csv", [{**wish, "id": str(at)} for at, wish in enumerate(some_rows(3))])
    assert (await batcher(tmp_path, "validate", "own.csv")).err == "", "a column of one's own may be called so"
