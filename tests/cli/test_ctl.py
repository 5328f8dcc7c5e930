"""The words of `ctl` are those that a run at work understands."""

import pytest

from batcher.cli.commands.ctl import SAME
from batcher.cli.main import build_parser, parse
from batcher.errors import ConfigError
from batcher.policy.control import Action


@pytest.mark.parametrize("action", Action)
def test_the_command_has_a_word_for_each_action(action: Action) -> None:
    arguments = build_parser().parse_args(["ctl", action.value, "5/s"])
    assert (arguments.action, arguments.value) == (action, "5/s")


@pytest.mark.parametrize("words", ["", "halt", "rate 5/s 6/s", "--rate 5/s"])
def test_the_command_has_no_other_words(words: str) -> None:
    with pytest.raises(ConfigError):
        parse(["ctl", *words.split()])


@pytest.mark.parametrize(("second", "action"), SAME.items())
def test_a_second_name_stands_for_an_action(second: str, action: str) -> None:
    assert parse(["ctl", second]).action == second
    assert Action(action)
