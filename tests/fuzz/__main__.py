"""`python -m tests.fuzz READER --inputs 100000`: a line a reader with inputs and findings; `all` for each in turn.

Each reader is searched in a process of its own, that a crash or a hang of it is a finding too. The exit code is 1 if
anything was found. Needs the extra `fuzz`.
"""

import argparse
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.fuzz.readers import MODULES
from tests.fuzz.search import search


def main() -> int:
    """Search; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("reader", choices=(*MODULES, "all"))
    parser.add_argument("--inputs", type=int, default=100_000, help="how many for each reader (default: 100000)")
    parser.add_argument("--notes", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if find_spec("atheris") is None:
        parser.error("atheris is not installed: pip install -e '.[test,fuzz]'")
    if arguments.notes is not None:
        search(arguments.reader, arguments.inputs, arguments.notes)
    names = tuple(MODULES) if arguments.reader == "all" else (arguments.reader,)
    found = [_searched(name, arguments.inputs) for name in names]  # each, whatever another one found
    return int(any(found))


def _searched(name: str, inputs: int) -> bool:
    """Search one reader and say what came of it; whether anything was found."""
    with TemporaryDirectory(prefix="batcher-fuzz-") as folder:
        notes = Path(folder) / "notes"
        words = [sys.executable, "-m", "tests.fuzz", name, f"--inputs={inputs}", f"--notes={notes}"]
        ended = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
        found: dict[str, Any] = {"tried": 0, "slowest_s": 0, "findings": {}}
        if notes.is_file():
            found = json.loads(notes.read_text())
    findings = dict(found["findings"])
    if ended.returncode or found["tried"] < inputs:
        findings[f"the search ended with {ended.returncode}"] = ended.stderr[-2_000:]
    print(f"{name}: {found['tried']:,} inputs, {len(findings)} findings, slowest {found['slowest_s']} s", flush=True)
    for what, example in findings.items():
        print(f"  {what}: {example}", flush=True)
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
