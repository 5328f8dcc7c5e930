"""`--help` answers at once: it loads nothing heavy, whichever command it is asked of."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from batcher.cli.main import COMMANDS

HEAVY = ("aiohttp", "anyio", "ijson", "pydantic", "rich", "sqlite3", "yarl")
"""Together most of half a second; `asyncio` comes with several of them and is named for itself."""

LOADED = """
import json, sys
sys.argv = ["batcher", *json.loads(sys.argv[1])]
from batcher.cli.main import main
try:
    main()
except SystemExit as ended:
    print(json.dumps([ended.code, sorted({name.partition(".")[0] for name in sys.modules})]), file=sys.stderr)
"""


def loaded(folder: Path, *words: str) -> tuple[int, set[str], str]:
    """Exit code, top modules in memory at the end, and stdout of a command in a fresh process."""
    command = [sys.executable, "-W", "error", "-c", LOADED, json.dumps(words)]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    code, names = json.loads(ended.stderr)
    return code, set(names), ended.stdout


@pytest.mark.parametrize("words", [(), *((name,) for name in COMMANDS)], ids=lambda words: " ".join(words) or "batcher")
def test_help_loads_nothing_heavy(tmp_path: Path, words: tuple[str, ...]) -> None:
    code, names, out = loaded(tmp_path, *words, "--help")
    assert code == 0
    assert out.startswith("usage: " + " ".join(("batcher", *words)))
    assert names.isdisjoint({*HEAVY, "asyncio"})


def test_version_loads_nothing_heavy_and_is_the_packages(tmp_path: Path) -> None:
    from batcher import __version__

    code, names, out = loaded(tmp_path, "--version")
    assert (code, out) == (0, f"batcher {__version__}\n")
    assert names.isdisjoint({*HEAVY, "asyncio"})


def test_importing_batcher_loads_nothing_heavy(tmp_path: Path) -> None:
    script = "import batcher, sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert set(ended.stdout.split()).isdisjoint({*HEAVY, "asyncio"})


def test_every_command_has_help_in_the_list(tmp_path: Path) -> None:
    _, _, out = loaded(tmp_path, "--help")
    for name, command in COMMANDS.items():
        assert any(line.split() == [name, *command.HELP.split()] for line in out.splitlines())
