"""What is installed: floors, the set that was tested, and the commands that install it."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from batcher.cloud.transport import AIOHTTP_TESTED

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / ".ci" / "constraints.txt"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pinned() -> dict[str, str]:
    """The version of each package that was tested."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines), "a line that is no pin"
    return {str(canonicalize_name(name)): version for name, version in (line.split("==") for line in lines)}


def declared() -> list[Requirement]:
    """What batcher and its extras for tests and development ask for."""
    extras = PROJECT["optional-dependencies"]
    texts = [*PROJECT["dependencies"], *extras["test"], *extras["dev"]]
    return [asked for asked in map(Requirement, texts) if asked.name != "batcher"]


def behind(asked: Requirement) -> list[Requirement]:
    """What a package asks for in turn; nothing is known of one that is not installed."""
    try:
        found = [Requirement(text) for text in requires(asked.name) or ()]
    except PackageNotFoundError:
        return []
    environments = [{"extra": extra} for extra in (*asked.extras, "")]
    return [each for each in found if each.marker is None or any(map(each.marker.evaluate, environments))]


def test_every_package_behind_batcher_and_its_tests_has_a_version_that_was_tested() -> None:
    tested = pinned()
    waiting, known = declared(), set[str]()
    while waiting:
        asked = waiting.pop()
        name = str(canonicalize_name(asked.name))
        assert name in tested, f"`{name}` is not in {CONSTRAINTS.name}"
        assert asked.specifier.contains(tested[name]), f"{asked} is not met by {tested[name]}"
        if name not in known:
            known.add(name)
            waiting.extend(behind(asked))


def test_aiohttp_is_named_as_it_was_tested() -> None:
    assert pinned()["aiohttp"] == AIOHTTP_TESTED


def test_tests_and_ci_install_what_was_tested_and_the_first_command_what_is_declared() -> None:
    main, tests = re.findall(r"^python3 -m venv .*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert "constraints" not in main
    installs = re.findall(r"^.*pip\"? install .*$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(installs) == 2
    assert all(" -c .ci/constraints.txt " in line for line in (tests, *installs))
