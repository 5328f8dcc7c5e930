"""The words of `ctl` are those that a run at work understands."""

import pytest

from batcher.cli.main import build_parser
from batcher.policy.control import Action


@pytest.mark.parametrize("action", Action)
def test_the_command_has_a_word_for_each_action(action: Action) -> None:
    arguments = build_parser().parse_args(["ctl", action.value, "5/s"])
    assert (arguments.action, arguments.value) == (action, "5/s")


@pytest.mark.parametrize("words", ["", "stop", "rate 5/s 6/s", "--rate 5/s"])
def test_the_command_has_no_other_words(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["ctl", *words.split()])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: batcher")
