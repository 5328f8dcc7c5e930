"""Numbers, times and flags in settings: each has its range and unit, and what is none is refused with an example."""

from pathlib import Path

import pytest

from batcher.cli.main import main
from batcher.config import all_keys, load_settings
from batcher.errors import ConfigError
from batcher.settings import Settings

TIMES = [(section, key) for section, key in all_keys() if key.endswith("_s")]
NUMBERS = [
    (section, key)
    for section, key in all_keys()
    if isinstance(getattr(getattr(Settings(), section), key), int | float)
    and not isinstance(getattr(getattr(Settings(), section), key), bool)
]
assert len(TIMES) > 12
assert len(NUMBERS) > len(TIMES)


def settings(tmp_path: Path, section: str, line: str) -> Settings:
    """What a file with this line says."""
    file = tmp_path / "batcher.toml"
    file.write_text(f"[{section}]\n{line}\n")
    return load_settings({}, {}, file).settings


@pytest.mark.parametrize(("section", "key"), NUMBERS)
@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "true", "1e300", '"many"'])
def test_what_is_no_number_in_range_is_refused(tmp_path: Path, section: str, key: str, value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings(tmp_path, section, f"{key} = {value}")
    assert f"`{section}.{key}`" in str(refused.value)
    with pytest.raises(ConfigError):
        load_settings({}, {f"BATCHER_{section}_{key}".upper(): value.strip('"')}, None)


@pytest.mark.parametrize(("section", "key"), NUMBERS)
def test_every_number_has_a_range(section: str, key: str) -> None:
    field = type(getattr(Settings(), section)).model_fields[key]
    bounds = {type(bound).__name__ for bound in field.metadata}
    assert bounds & {"Ge", "Gt"}
    assert "Le" in bounds


@pytest.mark.parametrize(("section", "key"), TIMES)
def test_a_time_may_have_a_unit(tmp_path: Path, section: str, key: str) -> None:
    for text, seconds in (('"1s"', 1.0), ("1", 1.0), ('"0.5"', 0.5), ('"20ms"', 0.02)):
        assert getattr(getattr(settings(tmp_path, section, f"{key} = {text}"), section), key) == seconds


def test_longer_times_have_their_units(tmp_path: Path) -> None:
    assert settings(tmp_path, "run", 'token_lifetime_s = "6h"').run.token_lifetime_s == 6 * 3600
    assert settings(tmp_path, "run", 'token_lifetime_s = "1d"').run.token_lifetime_s == 86_400
    assert settings(tmp_path, "run", 'verify_time_s = "5m"').run.verify_time_s == 300
    assert load_settings({}, {"BATCHER_RUN_RETRY_TIME_S": "15 min"}, None).settings.run.retry_time_s == 900


def test_what_toml_writes_without_quotes_is_understood_or_refused_with_an_example(tmp_path: Path) -> None:
    assert settings(tmp_path, "run", "max_failures = 10").run.max_failures == "10"
    assert settings(tmp_path, "defaults", "enabled = true").defaults.enabled == "true"
    assert settings(tmp_path, "run", "until = 06:00:00").run.until == "06:00"
    for line, example in (("rate = 10", "`10/s`"), ("time = 6", "`6h`"), ("until = 6", "`06:00`")):
        with pytest.raises(ConfigError, match=example):
            settings(tmp_path, "run", line)
    with pytest.raises(ConfigError, match="write it in quotes"):
        settings(tmp_path, "defaults", "account = 7")


@pytest.mark.parametrize(
    "words", [("--pending", "inf"), ("--lost-after", "nan"), ("--latency", "1e400"), ("--quota", "x")]
)
def test_flags_of_the_emulator_are_held_to_the_same(words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("emulator", "--port", "0", *words)) == 2
    said = capsys.readouterr().err
    assert words[0] in said
    assert "Traceback" not in said
