"""A plan on paper: what was written is what is read, or the file is refused and says why."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.errors import ConfigError, ReportError
from batcher.planning import plan_file
from batcher.planning.plan_file import read_plan, write_plan

HEAD: Mapping[str, Any] = {
    "inventory": {"name": "r\u00f6uter \ud800.csv", "sha256": "00"},
    "fix_drift": False,
    "warnings": [],
    "scopes": [{"er_id": "one", "digest": "aa"}, {"er_id": "two", "digest": "bb"}],
}
CHANGES = [{"row": number, "line": number + 1, "change": "create", "name": f"fl-{number}"} for number in (1, 2, 3)]


def written(path: Path, head: Mapping[str, Any] = HEAD, changes: list[dict[str, Any]] = CHANGES) -> Path:
    """A plan, as `batcher plan --out` writes it."""
    with write_plan(path, head) as plan:
        for change in changes:
            plan.change(change)
    return path


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def refusal(path: Path) -> ConfigError:
    """What is said of a file that is refused."""
    with pytest.raises(ConfigError) as raised:
        read_plan(path)
    assert str(path) in str(raised.value)
    return raised.value


@pytest.mark.parametrize("changes", [[], CHANGES[:1], CHANGES])
def test_what_was_written_is_read_again(tmp_path: Path, changes: list[dict[str, Any]]) -> None:
    path = written(tmp_path / "plan.json", changes=changes)
    head = dict(read_plan(path))
    seal = head.pop("seal")
    assert head == {"format": 1, **HEAD}
    assert len(str(seal)) == 64
    assert names(tmp_path) == ["plan.json"]


def test_it_is_json_with_a_line_for_each_router_and_each_change(tmp_path: Path) -> None:
    """So that people can read it and compare two with `diff`."""
    path = written(tmp_path / "plan.json")
    document = json.loads(path.read_text(encoding="ascii"))
    assert list(document) == ["format", *HEAD, "changes", "seal"]
    assert document["changes"] == CHANGES
    assert document["scopes"] == HEAD["scopes"]
    lines = path.read_text(encoding="ascii").splitlines()
    assert sum(line.startswith('{"er_id"') for line in lines) == 2
    assert sum(line.startswith('{"row"') for line in lines) == 3


def test_two_plans_have_one_seal_only_if_they_are_the_same(tmp_path: Path) -> None:
    first = read_plan(written(tmp_path / "first"))["seal"]
    assert read_plan(written(tmp_path / "again"))["seal"] == first
    assert read_plan(written(tmp_path / "fewer", changes=CHANGES[:2]))["seal"] != first
    assert read_plan(written(tmp_path / "other", head={**HEAD, "fix_drift": True}))["seal"] != first


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"name": "fl-2"', b'"name": "fl-9"'),
        (b'"fix_drift": false', b'"fix_drift": true'),
        (b'"digest": "bb"', b'"digest": "cc"'),
        (b'{"row": 3', b' {"row": 3'),
        (b'"seal": "', b'"seal": "0'),
        (b'"\n}\n', b'"\n}\n\n'),
        (b'"\n}\n', b'"}\n'),
    ],
)
def test_an_edit_is_noticed(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = written(tmp_path / "plan.json")
    text = path.read_bytes()
    assert text.count(old) == 1
    path.write_bytes(text.replace(old, new))
    said = refusal(path)
    assert "was changed since it was made" in str(said)
    assert "batcher plan" in said.hint


def test_a_line_that_was_taken_out_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "plan.json")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if b"fl-2" not in line))
    assert "was changed since it was made" in str(refusal(path))


def test_a_file_that_was_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "plan.json")
    text = path.read_bytes()
    for length in range(len(text)):
        path.write_bytes(text[:length])
        said = str(refusal(path))
        assert "is no plan" in said or "was changed" in said


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "er_id,resource_id\n1,2\n",
        "[]",
        "{}",
        '{"format": 1}',
        '{"changes": [], "seal": "00"}',
        '{\n"format": 1,\n"changes": [\n\n],\n',
        "\0" * 100,
    ],
)
def test_a_file_of_another_kind_is_no_plan_and_says_what_makes_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other"
    path.write_text(text, encoding="utf-8")
    said = refusal(path)
    assert "is no plan" in str(said)
    assert "batcher plan INVENTORY --out FILE" in said.hint


def test_a_plan_that_another_program_wrote_anew_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "plan.json")
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=2), encoding="utf-8")
    assert "is no plan" in str(refusal(path))
    crlf = written(tmp_path / "crlf.json")
    crlf.write_bytes(crlf.read_bytes().replace(b"\n", b"\r\n"))
    assert "is no plan" in str(refusal(crlf))


def test_a_huge_file_of_another_kind_is_not_read_to_its_end(tmp_path: Path) -> None:
    """64 GB without content: reading it, or keeping it, would take the machine."""
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(1 << 36)
    assert "is no plan" in str(refusal(path))


def test_a_head_that_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "plan.json")
    monkeypatch.setattr(plan_file, "HEAD_BYTES_MAX", 100)
    assert "too large" in str(refusal(path))


def test_a_newer_format_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "plan.json", head={**HEAD, "format": 2})
    said = refusal(path)
    assert "has format 2, and this batcher reads 1" in str(said)
    assert "make it anew" in said.hint


def test_what_is_not_there_or_no_file_is_said_plainly(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in str(refusal(tmp_path / "absent.json"))
    assert "cannot be read: Is a directory" in str(refusal(tmp_path))


def test_nothing_stays_of_a_plan_whose_making_failed_and_the_old_one_is_kept(tmp_path: Path) -> None:
    path = written(tmp_path / "plan.json")
    old = path.read_bytes()
    with pytest.raises(KeyError, match="broke off"):
        broken_off(path)
    assert names(tmp_path) == ["plan.json"]
    assert path.read_bytes() == old
    with pytest.raises(KeyError, match="broke off"):
        broken_off(tmp_path / "first.json")
    assert names(tmp_path) == ["plan.json"]


def broken_off(path: Path) -> None:
    """A plan whose rows could not all be had."""
    with write_plan(path, HEAD) as plan:
        plan.change(CHANGES[0])
        raise KeyError("the survey broke off")


def test_a_new_plan_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = written(tmp_path / "plan.json")
    written(path, changes=CHANGES[:1])
    assert json.loads(path.read_bytes())["changes"] == CHANGES[:1]
    assert names(tmp_path) == ["plan.json"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "plan.json"
    link.symlink_to(tmp_path / "folder" / "of-today.json")
    written(link)
    assert link.is_symlink()
    assert read_plan(tmp_path / "folder" / "of-today.json")["fix_drift"] is False
    assert (names(tmp_path), names(tmp_path / "folder")) == (["folder", "plan.json"], ["of-today.json"])


def test_a_folder_that_is_missing_or_a_folder_in_its_place_is_said_and_nothing_stays(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"cannot write the plan `.*absent/plan.json`: No such file"):
        written(tmp_path / "absent" / "plan.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ReportError, match=r"cannot write the plan `.*folder`: Is a directory"):
        written(tmp_path / "folder")
    assert names(tmp_path) == ["folder"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder_is_said_and_the_old_plan_is_kept(tmp_path: Path) -> None:
    path = written(tmp_path / "plan.json")
    old = path.read_bytes()
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ReportError, match="Permission denied"):
            written(path, changes=[])
        assert names(tmp_path) == ["plan.json"]
        assert path.read_bytes() == old
    finally:
        tmp_path.chmod(0o700)


def test_a_disk_that_is_full_is_said_and_the_old_plan_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = written(tmp_path / "plan.json")
    old = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ReportError, match="No space left on device"):
        written(path, changes=[])
    assert names(tmp_path) == ["plan.json"]
    assert path.read_bytes() == old


# --- properties -------------------------------------------------------------------------------------

texts = st.text(st.characters(), max_size=40)


@given(
    head=st.dictionaries(texts.filter(lambda name: name not in ("format", "changes", "seal")), texts),
    rows=st.lists(texts),
)
def test_any_text_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, head: dict[str, str], rows: list[str]
) -> None:
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    written(path, head=head, changes=[{"name": name} for name in rows])
    assert read_plan(path).items() >= head.items()
    assert [change["name"] for change in json.loads(path.read_bytes())["changes"]] == rows
