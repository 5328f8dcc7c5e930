"""README.md says what the code does: its tables are the code's, its output blocks are what its commands print."""

import re
from argparse import ArgumentParser

import pytest

from batcher.cli.main import build_parser
from tests.readme import OUTPUTS, README, TABLES, masked, part
from tests.readme_screens import SCREENS, shape

TEXT = README.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_the_one_that_the_code_gives(name: str) -> None:
    assert part(TEXT, name) == TABLES[name](), "python -m tests.readme writes it"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", OUTPUTS)
async def test_an_output_block_is_what_the_command_prints(name: str) -> None:
    assert masked(part(TEXT, name)) == masked(await OUTPUTS[name]()), "python -m tests.readme writes it"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", SCREENS)
async def test_a_screen_is_what_a_terminal_shows(name: str) -> None:
    assert shape(part(TEXT, name)) == shape(await SCREENS[name]()), "python -m tests.readme writes it"


def test_every_command_and_option_that_the_readme_uses_exists() -> None:
    help_texts = {name: parser.format_help() for name, parser in _subparsers().items()}
    for line in re.findall(r"^(?:.*/|\$ )?batcher ([a-z]+(?: .+?)?)(?:  +#.*)?$", _blocks(), flags=re.MULTILINE):
        command, *words = line.split()
        assert command in help_texts, line
        for option in (word for word in words if word.startswith("--")):
            assert option in help_texts[command], line


def _blocks() -> str:
    return "\n".join(re.findall(r"```(?:sh|text)\n(.*?)```", TEXT, flags=re.DOTALL))


def _subparsers() -> dict[str, ArgumentParser]:
    actions = build_parser()._subparsers._group_actions  # type: ignore[union-attr]  # argparse has no public way
    return dict(actions[0].choices)  # type: ignore[arg-type]
