"""What `batcher plan` refuses by its words alone: in this process, for nothing is asked of anybody."""

from pathlib import Path

import pytest

from batcher.cli.main import main


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("absent/plan.json", "is no place for a file"),
        ("folder", "is no place for a file"),
        ("/dev/null", "is no place for a file"),
        ("routers.csv", "is the inventory itself"),
        ("folder/../routers.csv", "is the inventory itself"),
        ("link.csv", "is the inventory itself"),
        ("n" * 300, "File name too long"),
    ],
)
def test_a_place_where_no_plan_can_be_written_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("routers.csv").write_text("er_id\n", encoding="utf-8")
    Path("link.csv").symlink_to("routers.csv")
    assert main(["plan", "routers.csv", "--out", out]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"batcher: `--out {out}` ")
    assert said in told
    assert Path("routers.csv").read_text(encoding="utf-8") == "er_id\n"


@pytest.mark.parametrize("time", ["tonight", "0h", "6"])
def test_a_night_that_is_no_time_is_said_at_once(capsys: pytest.CaptureFixture[str], time: str) -> None:
    assert main(["plan", "routers.csv", "--for", time]) == 2
    assert capsys.readouterr().err.startswith(f"batcher: `--for`: `{time}` is no time")
