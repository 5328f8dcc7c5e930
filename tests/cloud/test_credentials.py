"""Where credentials come from, in which order, and what is said where there are none."""

from pathlib import Path

import pytest

from batcher.cloud.credentials import CredentialOptions, Credentials, find_credentials, load_credentials
from batcher.errors import ConfigError, CredentialsError

PROJECT = "0605767a9980d5762fbcc00b3537e757"
SDK = {"HUAWEICLOUD_SDK_AK": "sdk-ak", "HUAWEICLOUD_SDK_SK": "sdk-sk"}
CLOUD = {"CLOUD_SDK_AK": "cloud-ak", "CLOUD_SDK_SK": "cloud-sk"}
HW = {"HW_ACCESS_KEY": "hw-ak", "HW_SECRET_KEY": "hw-sk"}
MINE = {"MY_AK": "my-ak", "MY_SK": "my-sk", "MY_STS": "my-sts", "MY_TOKEN": "my-token"}
PAIR = CredentialOptions(access_key_variable="MY_AK", secret_key_variable="MY_SK", security_token_variable="MY_STS")
TOKEN = CredentialOptions(auth_token_variable="MY_TOKEN")
BOTH = CredentialOptions(access_key_variable="MY_AK", secret_key_variable="MY_SK", auth_token_variable="MY_TOKEN")
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

[token]
auth_token = prod-token
security_token = left-over
project_id = 0605767a9980d5762fbcc00b3537e757

[both]
ak = both-ak
sk = both-sk
auth_token = hush-token
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


@pytest.mark.parametrize(
    ("options", "environment", "found"),
    [
        (PAIR, MINE | SDK | {"HW_AUTH_TOKEN": "tok"}, ("my-ak", "my-sk", "my-sts", "", "MY_AK/MY_SK")),
        (TOKEN, MINE | SDK | {"HW_AUTH_TOKEN": "tok"}, ("", "", "", "my-token", "MY_TOKEN")),
        (BOTH, MINE, ("", "", "", "my-token", "MY_TOKEN")),
        (BOTH, MINE | {"MY_TOKEN": " "}, ("my-ak", "my-sk", "", "", "MY_AK/MY_SK")),
        (PAIR, {"MY_AK": "my-ak", "MY_SK": "my-sk", "MY_STS": " "}, ("my-ak", "my-sk", "", "", "MY_AK/MY_SK")),
    ],
)
def test_variables_that_the_user_names_come_first(
    options: CredentialOptions, environment: dict[str, str], found: tuple[str, str, str, str, str], home: Path
) -> None:
    got = load_credentials("default", environment, home, options)
    assert (got.access_key, got.secret_key, got.security_token, got.auth_token, got.source) == found


def test_named_variables_are_those_of_the_default_account_only(home: Path) -> None:
    assert load_credentials("prod", MINE, home, BOTH).access_key == "prod-ak"


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        (CredentialOptions(access_key_variable="MY_AK"), "secret_key_variable"),
        (CredentialOptions(secret_key_variable="MY_SK"), "access_key_variable"),
        (CredentialOptions(security_token_variable="MY_STS"), "access_key_variable"),
    ],
)
def test_variables_named_in_part_are_an_error(options: CredentialOptions, missing: str, home: Path) -> None:
    with pytest.raises(CredentialsError, match=f"`{missing}` is missing"):
        find_credentials("default", MINE | SDK, home, options)


@pytest.mark.parametrize(
    "secret",
    [
        "HUSH5XXXXXXXXXXXXXX1",
        "hushK9cv0JwJx1qhg7c8H1B3oHx2TzYEuQ9xV0ab",
        "MIIhush-+==",
        "1hush",
        "hush_" * 20,
        "hush hush",
    ],
)
@pytest.mark.parametrize("option", ["access_key", "secret_key", "security_token", "auth_token"])
def test_a_secret_in_the_place_of_a_variables_name_is_refused_unquoted(option: str, secret: str, home: Path) -> None:
    options = CredentialOptions(**{f"{option}_variable": secret})
    with pytest.raises(CredentialsError, match=f"`{option}_variable` does not hold the name") as raised:
        load_credentials("default", SDK, home, options)
    assert "hush" not in f"{raised.value} {raised.value.hint}".lower()


def test_nothing_at_all_is_none_where_that_is_asked(tmp_path: Path) -> None:
    assert find_credentials("default", {"HW_ACCESS_KEY": " "}, tmp_path) is None
    assert find_credentials("prod", SDK, tmp_path) is None


def test_half_a_pair_is_an_error_even_where_nothing_would_do(home: Path) -> None:
    with pytest.raises(CredentialsError, match="half a key pair"):
        find_credentials("default", {"MY_AK": "hush"}, home, PAIR)
    with pytest.raises(CredentialsError, match="half a key pair"):
        find_credentials("half", {}, home)


def test_a_profile_may_hold_a_token_instead_of_keys(home: Path) -> None:
    got = load_credentials("token", {}, home)
    assert got == Credentials("", "", auth_token="prod-token", source=got.source, project_id=PROJECT)


def test_a_profile_with_keys_and_a_token_is_refused(home: Path) -> None:
    with pytest.raises(CredentialsError, match=r"\[both\] in .* has both") as raised:
        load_credentials("both", {}, home)
    assert "hush" not in f"{raised.value} {raised.value.hint}"


@pytest.mark.parametrize("key", ["ak", "security_token", "auth_token"])
def test_what_no_header_can_carry_is_refused_in_a_profile_too(key: str, home: Path) -> None:
    values = {"auth_token": "a hush"} if key == "auth_token" else {"ak": "a", "sk": "s", key: "a hush"}
    lines = "".join(f"{name} = {value}\n" for name, value in values.items())
    (home / ".huaweicloud" / "credentials").write_text(f"[prod]\n{lines}", encoding="utf-8")
    with pytest.raises(CredentialsError, match=f": {key}` holds a character") as raised:
        load_credentials("prod", {}, home)
    assert "hush" not in str(raised.value)


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


def test_the_profile_file_of_the_settings_goes_before_that_of_the_environment(home: Path) -> None:
    (home / "other").write_text("[basic]\nak=a\nsk=s\n", encoding="utf-8")
    environment = {"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(home / "none")}
    got = load_credentials("default", environment, home, CredentialOptions(profile_file="~/other"))
    assert (got.access_key, got.source) == ("a", f"[basic] in {home}/other")


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


@pytest.mark.parametrize(("options", "name"), [(PAIR, "MY_AK/MY_SK"), (BOTH, "MY_TOKEN or MY_AK/MY_SK")])
def test_what_the_user_named_and_did_not_set_ends_the_search(options: CredentialOptions, name: str, home: Path) -> None:
    """Going on would send the work with the keys of somebody else."""
    with pytest.raises(CredentialsError) as raised:
        load_credentials("default", HW | {"MY_AK": " "}, home, options)
    assert str(raised.value) == f"`{name}` was named as the source of credentials and is not set"


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
    assert raised.value.__context__ is None, "both kinds of error quote the file, and some tools show what is hidden"


def test_a_file_that_cannot_be_read_is_named(home: Path) -> None:
    with pytest.raises(CredentialsError, match="cannot read the profile file"):
        load_credentials("default", {"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(home)}, home)


@pytest.mark.parametrize("name", ["HW_ACCESS_KEY", "HW_SECURITY_TOKEN", "HW_AUTH_TOKEN"])
@pytest.mark.parametrize("value", ["two\nlines-hush", "naïve-hush", "a hush"])
def test_what_no_header_can_carry_is_refused(name: str, value: str, home: Path) -> None:
    with pytest.raises(CredentialsError, match=name) as raised:
        load_credentials("default", HW | {name: value}, home)
    assert "hush" not in str(raised.value)
