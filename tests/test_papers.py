"""The papers beside the code say what is there: modules, functions, files, links, commands, floors and terms."""

import argparse
import configparser
import importlib
import importlib.util
import os
import re
import shlex
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from batcher.cli.main import build_parser
from batcher.policy.row_state import MOVES

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "batcher"
ARCHITECTURE = PACKAGE / "ARCHITECTURE.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAPERS = [ARCHITECTURE, CONTRIBUTING, ROOT / "tests" / "README.md"]
ALL_PAPERS = [*PAPERS, ROOT / "CHANGELOG.md", ROOT / "README.md", ROOT / "inputs" / "README.md"]

ROOMS = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()} - {
    "__init__"
}
CONSOLE_SCRIPTS = {"ruff": "ruff", "mypy": "mypy", "lint-imports": "import-linter", "pip": None}
"""The requirement behind each program that papers call in `.venv/bin/`; pip comes with Python."""
MODULES_OF_TOOLS = {"build": "build", "pytest": "pytest", "venv": None}
OF_A_RUN = ("reports/", "dist/", "rehearsal.db", "ledger.db", "batcher.toml", "report.", "failed.", "summary.")
"""How files begin that commands make or users bring."""


def by_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


papers = pytest.mark.parametrize("paper", PAPERS, ids=by_name)


@cache
def text_of(paper: Path) -> str:
    return paper.read_text(encoding="utf-8")


def fenced(paper: Path, language: str) -> list[str]:
    """The blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(paper), flags=re.MULTILINE | re.DOTALL)


def spans(paper: Path) -> list[str]:
    """Everything between back-quotes, outside of blocks."""
    bare = re.sub(r"^```.*?^```$", "", text_of(paper), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", bare)


def table(paper: Path, header: str) -> list[list[str]]:
    """The cells of every table whose first header cell is this, back-quotes removed."""
    rows = []
    for part in text_of(paper).split(f"\n| {header} |")[1:]:
        body = part.split("\n\n", 1)[0].splitlines()[2:]
        rows += [[cell.strip().replace("`", "") for cell in line.strip("|").split(" | ")] for line in body]
    assert rows, f"{by_name(paper)} has no table of `{header}`"
    return rows


@cache
def requirements() -> dict[str, set[str]]:
    """Names of the packages that `pyproject.toml` asks for, by extra; those of every install under the empty name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups: dict[str, list[str]] = {"": project["dependencies"], **project["optional-dependencies"]}
    return {extra: {re.split(r"[^\w.-]", one, maxsplit=1)[0] for one in found} for extra, found in groups.items()}


# --- what exists ----------------------------------------------------------------------------------------


@papers
def test_every_module_and_name_that_a_paper_gives_exists(paper: Path) -> None:
    dotted = {span for span in spans(paper) if re.fullmatch(r"\w+(?:\.\w+)+", span)}
    ours = {span for span in dotted if span.split(".")[0] in ROOMS and not span.endswith((".py", ".sql", ".db"))}
    assert paper != ARCHITECTURE or len(ours) > 30
    assert [span for span in sorted(ours) if not _resolves(span)] == []


def _resolves(dotted: str) -> bool:
    """Whether `room.module.Name.method` is there: the longest module, then attributes of it."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        name = ".".join(["batcher", *parts[:cut]])
        if _is_module(name):
            found: Any = importlib.import_module(name)
            for part in parts[cut:]:
                if not hasattr(found, part):
                    return False
                found = getattr(found, part)
            return True
    return False


def _is_module(name: str) -> bool:
    parent = name.rpartition(".")[0]
    if parent != "batcher" and not _is_module(parent):
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_what_is_not_there_is_not_taken_for_there() -> None:
    assert _resolves("planning.record.plan_rows")
    assert not _resolves("planning.record.plan_columns")
    assert not _resolves("planning.recorder")


@papers
def test_every_path_that_a_paper_gives_exists(paper: Path) -> None:
    pattern = r"\.?[\w./-]*(?:/|\.(?:py|sql|md|toml|csv|json|jsonl))|\.[\w-]+(?:/\w+)?"
    named = {span for span in spans(paper) if re.fullmatch(pattern, span) and not span.startswith(OF_A_RUN)}
    named -= {".sql", ".venv/bin/"}  # a kind of file, and what setting up makes
    assert [name for name in sorted(named) if not _is_there(name, paper.parent)] == []


def _is_there(name: str, beside: Path) -> bool:
    """Whether a path is there, from the top, from the package or from its paper; a bare name may be anywhere."""
    if any((place / name).exists() for place in (ROOT, PACKAGE, beside)):
        return True
    return "/" not in name and any(True for place in (PACKAGE, ROOT / "tests") for _ in place.rglob(name))


@pytest.mark.parametrize("paper", ALL_PAPERS, ids=by_name)
def test_relative_links_lead_to_files_and_headings(paper: Path) -> None:
    bare = re.sub(r"^```.*?^```$", "", text_of(paper), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", bare):
        if re.match(r"https?://", target):
            continue
        place, _, anchor = target.partition("#")
        file = (paper.parent / place).resolve() if place else paper
        assert file.exists(), f"{by_name(paper)}: {target}"
        assert not anchor or anchor in _anchors(file), f"{by_name(paper)}: {target}"


def _anchors(paper: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text_of(paper), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


# --- commands -------------------------------------------------------------------------------------------


@papers
def test_every_command_that_a_paper_gives_can_be_run(paper: Path) -> None:
    lines = [line for block in fenced(paper, "sh") for line in block.splitlines() if line.strip()]
    lines += [span for span in spans(paper) if re.match(r"(?:batcher |python -m |\.ci/run)", span)]
    assert paper == ARCHITECTURE or len(lines) > 3
    for line in lines:
        _check_command(shlex.split(line, comments=True))


def _check_command(words: list[str]) -> None:
    program = words[0].removeprefix(".venv/bin/")
    arguments = words[1:]
    if program in ("python", "python3"):
        assert arguments[0] == "-m", words
        _check_module(arguments[1], arguments[2:])
    elif program == "batcher":
        _check_batcher(arguments)
    elif program.startswith("."):
        assert os.access(ROOT / program, os.X_OK), words
    elif "/" not in program:
        needed = CONSOLE_SCRIPTS[program]
        assert needed is None or needed in requirements()["dev"] | requirements()["test"], words


def _check_module(name: str, arguments: list[str]) -> None:
    if name in MODULES_OF_TOOLS:
        needed = MODULES_OF_TOOLS[name]
        assert needed is None or needed in requirements()["test"] | requirements()["dev"], name
        paths = [word.partition("=")[2] or word for word in arguments if "tests/" in word]
        assert [path for path in paths if not (ROOT / path).exists()] == []
    else:
        assert importlib.util.find_spec(name) is not None, name


def _check_batcher(arguments: list[str]) -> None:
    options = [word for word in arguments if word.startswith("-")]
    parsers = _subparsers()
    assert arguments[0] in parsers, arguments
    help_text = parsers[arguments[0]].format_help()
    assert [option for option in options if option not in help_text] == []


def _subparsers() -> dict[str, argparse.ArgumentParser]:
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError("the parser has no commands")


def test_a_command_that_is_not_there_is_refused() -> None:
    for line in ("batcher destroy", "batcher run x.csv --force", ".venv/bin/python -m tests.bench.nothing", ".ci/walk"):
        with pytest.raises((AssertionError, ModuleNotFoundError)):
            _check_command(shlex.split(line))


@papers
def test_every_option_that_a_paper_names_exists(paper: Path) -> None:
    known = build_parser().format_help() + "".join(parser.format_help() for parser in _subparsers().values())
    named = {span.split("=")[0].split()[0] for span in spans(paper) if re.match(r"--\w", span)}
    assert [option for option in sorted(named) if option not in known] == []


# --- tables ---------------------------------------------------------------------------------------------


def test_the_diagram_has_the_moves_of_the_table() -> None:
    (diagram,) = fenced(ARCHITECTURE, "mermaid")
    drawn = re.findall(r"^ *(\w+) --> (\w+): \S", diagram, flags=re.MULTILINE)
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == {(str(old), str(new)) for old, news in MOVES.items() for new in news}


def test_the_floors_are_those_that_are_enforced() -> None:
    drawn: dict[int, set[str]] = {}
    for floor, room, *_ in table(ARCHITECTURE, "floor"):
        drawn.setdefault(int(floor), set()).add(room)
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter", encoding="utf-8")
    layers = contracts["importlinter:contract:floors"]["layers"].strip().splitlines()
    assert [drawn[floor] for floor in sorted(drawn, reverse=True)] == [
        set(re.split(r"\s*\|\s*", one)) for one in layers
    ]
    assert set.union(*drawn.values()) | {"emulator"} == ROOMS


def test_every_dependency_has_its_reason_and_no_other_has_one() -> None:
    taken: dict[str, set[str]] = {}
    for package, extra, reason in (row for row in table(CONTRIBUTING, "package") if len(row) == 3):
        assert reason
        taken.setdefault(extra if extra in requirements() else "", set()).add(package)
    asked = {extra: names - {"batcher"} for extra, names in requirements().items()}
    assert taken == asked


def test_every_term_of_the_glossary_is_a_word_of_the_code() -> None:
    sources = [path for pattern in ("*.py", "*.sql") for path in PACKAGE.rglob(pattern)]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    words = " ".join(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", code).lower()))
    terms = [term for term, _ in table(ARCHITECTURE, "term")]
    assert len(terms) == len(set(terms)) > 40
    assert [term for term in terms if not re.search(rf"\b{term}(?:s|es|d|ed|ing)?\b", words)] == []
