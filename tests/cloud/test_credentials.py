"""Where credentials come from, in which order, and what is said where there are none."""

from pathlib import Path

import pytest

from batcher.cloud.credentials import Credentials, load_credentials
from batcher.errors import ConfigError, CredentialsError

PROJECT = "0605767a9980d5762fbcc00b3537e757"
SDK = {"HUAWEICLOUD_SDK_AK": "sdk-ak", "HUAWEICLOUD_SDK_SK": "sdk-sk"}
CLOUD = {"CLOUD_SDK_AK": "cloud-ak", "CLOUD_SDK_SK": "cloud-sk"}
HW = {"HW_ACCESS_KEY": "hw-ak", "HW_SECRET_KEY": "hw-sk"}
PROFILE = """\
[basic]
ak = file-ak
sk = file%sk
project_id = 0605767a9980d5762fbcc00b3537e757

[prod]
ak = prod-ak
sk = prod-sk
security_token = prod-sts

[half]
ak = half-ak
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory with a profile file."""
    (tmp_path / ".huaweicloud").mkdir()
    (tmp_path / ".huaweicloud" / "credentials").write_text(PROFILE, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        (SDK | CLOUD | HW | {"HW_AUTH_TOKEN": "tok"}, ("", "", "", "tok", "HW_AUTH_TOKEN")),
        (SDK | CLOUD | HW, ("sdk-ak", "sdk-sk", "", "", "HUAWEICLOUD_SDK_AK/HUAWEICLOUD_SDK_SK")),
        (
            SDK | {"HUAWEICLOUD_SDK_SECURITY_TOKEN": "sts", "HW_SECURITY_TOKEN": "other"},
            ("sdk-ak", "sdk-sk", "sts", "", "HUAWEICLOUD_SDK_AK/HUAWEICLOUD_SDK_SK"),
        ),
        (
            CLOUD | HW | {"HUAWEICLOUD_SDK_SECURITY_TOKEN": "other"},
            ("cloud-ak", "cloud-sk", "", "", "CLOUD_SDK_AK/CLOUD_SDK_SK"),
        ),
        (HW | {"HW_SECURITY_TOKEN": "sts"}, ("hw-ak", "hw-sk", "sts", "", "HW_ACCESS_KEY/HW_SECRET_KEY")),
        (
            {"HUAWEICLOUD_SDK_AK": "", "HUAWEICLOUD_SDK_SK": " ", **HW},
            ("hw-ak", "hw-sk", "", "", "HW_ACCESS_KEY/HW_SECRET_KEY"),
        ),
        (
            {"HW_ACCESS_KEY": " hw-ak\n", "HW_SECRET_KEY": "hw-sk "},
            ("hw-ak", "hw-sk", "", "", "HW_ACCESS_KEY/HW_SECRET_KEY"),
        ),
    ],
)
def test_the_first_source_that_has_any_wins(
    environment: dict[str, str], found: tuple[str, str, str, str, str], home: Path
) -> None:
    got = load_credentials("default", environment, home)
    assert (got.access_key, got.secret_key, got.security_token, got.auth_token, got.source) == found


def test_the_profile_file_comes_last(home: Path) -> None:
    got = load_credentials("default", {}, home)
    assert (got.access_key, got.secret_key, got.project_id) == ("file-ak", "file%sk", PROJECT)
    assert got.source == f"[basic] in {home}/.huaweicloud/credentials"


def test_another_account_is_a_section_whatever_the_environment_says(home: Path) -> None:
    got = load_credentials("prod", SDK | {"HW_AUTH_TOKEN": "tok", "HUAWEICLOUD_SDK_PROJECT_ID": PROJECT}, home)
    assert got == Credentials("prod-ak", "prod-sk", "prod-sts", source=got.source)
    assert got.source.startswith("[prod] in ")


@pytest.mark.parametrize("name", ["{home}/other", "~/other"])
def test_the_profile_file_can_be_named(home: Path, name: str) -> None:
    (home / "other").write_text("\ufeff[basic]\nAK=a\nSK=s\n", encoding="utf-8")
    got = load_credentials("default", {"HUAWEICLOUD_SDK_CREDENTIALS_FILE": name.format(home=home)}, home)
    assert (got.access_key, got.secret_key) == ("a", "s")


@pytest.mark.parametrize(
    ("environment", "project_id"),
    [
        (SDK, ""),
        (SDK | {"HUAWEICLOUD_SDK_PROJECT_ID": "f" * 32}, "f" * 32),
        ({"HUAWEICLOUD_SDK_PROJECT_ID": "f" * 32}, "f" * 32),
    ],
)
def test_the_project_goes_with_the_keys_unless_it_is_named(
    environment: dict[str, str], project_id: str, home: Path
) -> None:
    assert load_credentials("default", environment, home).project_id == project_id


@pytest.mark.parametrize("wrong", ["cn-north-4", "F" * 32, "f" * 31, "f" * 33])
def test_a_project_id_of_the_wrong_shape_is_refused(wrong: str, home: Path) -> None:
    with pytest.raises(CredentialsError, match="HUAWEICLOUD_SDK_PROJECT_ID"):
        load_credentials("default", SDK | {"HUAWEICLOUD_SDK_PROJECT_ID": wrong}, home)


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"),
        ("HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_AK"),
        ("CLOUD_SDK_AK", "CLOUD_SDK_SK"),
        ("HW_SECRET_KEY", "HW_ACCESS_KEY"),
    ],
)
def test_half_a_pair_is_an_error_even_if_another_source_is_whole(there: str, missing: str, home: Path) -> None:
    with pytest.raises(CredentialsError) as raised:
        load_credentials("default", {there: "hush-hush"}, home)
    assert f"`{there}` is set and `{missing}` is not" in str(raised.value)
    assert missing in raised.value.hint
    assert "hush" not in f"{raised.value} {raised.value.hint}"


def test_half_a_pair_in_the_file_is_an_error(home: Path) -> None:
    with pytest.raises(CredentialsError, match=r"half a key pair: \[half\] in .* has `ak` and no `sk`"):
        load_credentials("half", {}, home)


def test_nothing_found_names_everything_that_was_looked_at(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError) as raised:
        load_credentials("default", {}, tmp_path)
    assert str(raised.value) == (
        "no credentials for account `default`; looked at: HW_AUTH_TOKEN, HUAWEICLOUD_SDK_AK/HUAWEICLOUD_SDK_SK, "
        "CLOUD_SDK_AK/CLOUD_SDK_SK, HW_ACCESS_KEY/HW_SECRET_KEY, "
        f"[basic] in {tmp_path}/.huaweicloud/credentials"
    )
    assert "HUAWEICLOUD_SDK_AK" in raised.value.hint
    assert isinstance(raised.value, ConfigError)


def test_an_unknown_account_names_only_its_section(home: Path) -> None:
    with pytest.raises(CredentialsError) as raised:
        load_credentials("nobody", SDK, home)
    assert str(raised.value).endswith(f"looked at: [nobody] in {home}/.huaweicloud/credentials")
    assert "[nobody]" in raised.value.hint


@pytest.mark.parametrize(
    "content",
    [
        b"ak = hush-hush\n",
        b"[basic]\nhush-hush\n",
        b"[basic]\nak=hush\nak=hush\n",
        b"\xff\xfehush",
        b"[basic]\n" + b"#hush\n" * 200_000,
    ],
    ids=["no section", "no key", "twice", "not UTF-8", "too large"],
)
def test_a_broken_file_is_named_and_never_quoted(home: Path, content: bytes) -> None:
    (home / ".huaweicloud" / "credentials").write_bytes(content)
    with pytest.raises(CredentialsError) as raised:
        load_credentials("default", {}, home)
    assert ".huaweicloud/credentials is not a valid INI file" in str(raised.value)
    assert "hush" not in f"{raised.value} {raised.value.hint}"
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_a_file_that_cannot_be_read_is_named(home: Path) -> None:
    with pytest.raises(CredentialsError, match="cannot read the profile file"):
        load_credentials("default", {"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(home)}, home)


@pytest.mark.parametrize("name", ["HW_ACCESS_KEY", "HW_SECURITY_TOKEN", "HW_AUTH_TOKEN"])
@pytest.mark.parametrize("value", ["two\nlines-hush", "naïve-hush", "a hush"])
def test_what_no_header_can_carry_is_refused(name: str, value: str, home: Path) -> None:
    with pytest.raises(CredentialsError, match=name) as raised:
        load_credentials("default", HW | {name: value}, home)
    assert "hush" not in str(raised.value)
