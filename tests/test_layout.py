"""Sizes and places of files: what CONTRIBUTING.md asks for, where a machine can see it."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "batcher"
MODULES = sorted(PACKAGE.rglob("*.py"))

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
TOP_LEVEL = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "batcher",
    "inputs",
    "pyproject.toml",
    "reports",
    "tests",
}
"""What the visible top of the repository may hold; names that begin with a dot are tools' own."""

UNFINISHED = re.compile(r"\b(?:TO[D]O|FIX[M]E)\b")
MACHINE_PATH = re.compile(r"(?<![\w.~:/>\]-])/(?:home|root|work|Users)/[\w.]|\b[A-Z]:\\\\?Users\\")
"""A place that exists on one machine only; a URL's path or a path below another folder is none."""


def tracked() -> list[Path]:
    """Every file that git keeps here, relative to the top; skips where there is no repository."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("no git repository")
    # `safe.directory`: the checkout of a container may belong to somebody else.
    command = [git, "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (ROOT / (path := Path(name))).is_file()]


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_file_is_too_long() -> None:
    lengths = {short(path): len(text_of(path).splitlines()) for path in MODULES}
    assert len(lengths) > 50
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES_MAX} == {}


def test_no_function_is_too_long() -> None:
    lengths = {
        f"{short(path)}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in MODULES
        for node in ast.walk(ast.parse(text_of(path)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert len(lengths) > 300
    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES_MAX} == {}


def test_the_init_of_a_room_holds_a_docstring_and_nothing_else() -> None:
    rooms = [path for path in MODULES if path.name == "__init__.py" and path.parent != PACKAGE]
    assert len(rooms) > 8
    for path in rooms:
        tree = ast.parse(text_of(path))
        assert ast.get_docstring(tree), f"{short(path)} says nothing of its room"
        assert len(tree.body) == 1, f"{short(path)} holds more than its docstring"


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for path in MODULES}
    assert [short(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_the_top_of_the_repository_holds_what_it_may_and_nothing_else() -> None:
    visible = {path.parts[0] for path in tracked() if not path.parts[0].startswith(".")}
    assert visible - TOP_LEVEL == set()


def test_nothing_is_marked_as_unfinished() -> None:
    assert _lines_with(UNFINISHED) == []


def test_no_path_of_one_machine_is_written_down() -> None:
    assert _lines_with(MACHINE_PATH) == []


@pytest.mark.parametrize("top", ["home", "root", "work", "Users"])
@pytest.mark.parametrize("text", ["/{}/ann", "in `/{}/.cache`", "(/{}/x)"])
def test_a_path_of_one_machine_is_recognised(text: str, top: str) -> None:
    assert MACHINE_PATH.search(text.format(top))


@pytest.mark.parametrize("text", ["https://example.com/home/x", "a/work/b", "~/work/x", "<folder>/home/x", "/homely"])
def test_other_paths_are_not_taken_for_one(text: str) -> None:
    assert not MACHINE_PATH.search(text)


def _lines_with(pattern: re.Pattern[str]) -> list[str]:
    """`path:line` of every tracked line that the pattern finds; this file has examples and is left out."""
    found = []
    for path in tracked():
        if ROOT / path == Path(__file__):
            continue
        try:
            lines = text_of(ROOT / path).splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{path.as_posix()}:{number}" for number, line in enumerate(lines, start=1) if pattern.search(line)]
    return found
