"""An inventory with faults: each bad row is named, the good ones are made, and the rest can be mended and run."""

import csv
import json
from pathlib import Path

from batcher.policy.remarks import REMARK_COLUMNS
from tests.e2e.commands import batcher, report_rows, side_by_side, summary
from tests.e2e.inventories import some_uuid, write_rows

FAULTY = Path(__file__).parents[2] / "inputs" / "faulty.csv"
NAMED = {
    4: ["er_id"],
    5: ["resource_id"],
    6: ["log_group_id"],
    7: ["name"],
    8: ["description"],
    9: ["resource_type"],
    10: ["log_store_type"],
    11: ["enabled"],
    12: ["project_id"],
    13: ["region"],
    14: ["the row"],
    15: ["the row", "region"],
    18: ["line 16", "name"],
    19: ["er_id", "resource_id"],
    23: ["er_id", "log_stream_id", "name", "enabled"],
}
"""What is wrong with each row that is invalid, by line."""


async def test_bad_rows_are_named_and_good_ones_made_and_mended_ones_run(tmp_path: Path) -> None:
    ended = await batcher(tmp_path, "run", str(FAULTY), "--emulator", "--rate", "200/s")
    assert ended.code == 3, ended.err
    rows = report_rows(tmp_path)
    assert [row["row"] for row in rows] == [str(number) for number in range(1, 25)]
    invalid = {int(row["line"]): row for row in rows if row["outcome"] == "invalid"}
    assert list(invalid) == list(NAMED)
    for line, names in NAMED.items():
        contradicts = invalid[line]["error_message"].startswith("contradicts")
        assert invalid[line]["error_code"] == ("BATCHER.Conflict" if contradicts else "BATCHER.Invalid")
        assert all(name in invalid[line]["error_message"] for name in names), invalid[line]["error_message"]
        assert (invalid[line]["attempts"], invalid[line]["first_sent_at"]) == ("0", "")
    rest = [row["outcome"] for row in rows if row["outcome"] != "invalid"]
    assert sorted(rest) == ["created"] * 8 + ["duplicate"]
    assert [row["enabled"] for row in rows if row["name"] == "fl-faulty-vpc-021"] == ["false"]
    assert summary(tmp_path)["rows"]["by_outcome"]["invalid"] == 15

    again = report_rows(tmp_path, "failed.csv")
    with FAULTY.open(newline="") as file:
        assert list(again[0]) == [*next(csv.reader(file)), *REMARK_COLUMNS]
    failed = tmp_path / "failed.csv"
    failed.write_bytes((tmp_path / "reports" / "latest" / "failed.csv").read_bytes())
    checked = await batcher(tmp_path, "validate", str(failed), "--endpoint", "https://er.example.com")
    assert checked.code == 3, checked.err
    assert f"{failed}: " in checked.out

    mended = [mend(row, number) for number, row in enumerate(again)]
    ended = await batcher(tmp_path, "run", str(write_rows(failed, mended)), "--emulator", "--rate", "200/s")
    assert ended.code == 0, ended.out
    assert [row["outcome"] for row in report_rows(tmp_path)] == ["created"] * 15


def mend(row: dict[str, str], number: int) -> dict[str, str]:
    """The row as its owner would correct it; its good values stay."""
    return {
        **row,
        "er_id": some_uuid("router"),
        "resource_id": some_uuid(f"mended {number}"),
        "log_group_id": some_uuid("group"),
        "log_stream_id": some_uuid("stream"),
        "name": f"mended-{number}",
        "description": row["description"][:255],
        "resource_type": "attachment",
        "log_store_type": "LTS",
        "enabled": "true",
        "project_id": "566bf9d7c55a45f8d1a6e55e9b9b1325",
        "region": "cn-north-4",
    }


async def test_validate_says_the_same_offline(tmp_path: Path) -> None:
    text, lines, quiet = await side_by_side(
        batcher(tmp_path, "validate", str(FAULTY), *words) for words in ((), ("--output", "json"), ("-q",))
    )
    assert (text.code, lines.code, quiet.code) == (3, 3, 3)
    assert (text.err, lines.err, quiet.err) == ("", "", "")
    *found, last = [json.loads(line) for line in lines.out.splitlines()]
    assert last == {"inventory": "faulty.csv", "rows": {"valid": 8, "invalid": 15, "duplicate": 1}}
    assert [item["line"] for item in found if item["outcome"] == "invalid"] == sorted(NAMED)
    assert [item["line"] for item in found if item["outcome"] == "duplicate"] == [17]
    assert all(set(item) == {"line", "outcome", "message"} for item in found)
    said = text.out.splitlines()
    assert said[:-1] == [f"{FAULTY}:{item['line']}: {item['outcome']}: {item['message']}" for item in found]
    assert quiet.out.splitlines() == said[-1:] == [f"{FAULTY}: 8 valid, 15 invalid, 1 duplicate"]
    assert list(tmp_path.iterdir()) == []


async def test_validate_finds_no_fault_in_an_example(tmp_path: Path) -> None:
    example = FAULTY.with_name("attachments.json")
    ended = await batcher(tmp_path, "validate", str(example))
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"{example}: 200 valid, 0 invalid, 0 duplicate\n"
