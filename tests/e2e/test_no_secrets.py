"""Whatever goes wrong, no secret is written anywhere: every byte of output and of every file is looked at."""

import base64
import re
from pathlib import Path

from tests.e2e.clouds import Cloud, cloud
from tests.e2e.commands import Ended, batcher, write_settings
from tests.e2e.inventories import some_rows, write_rows

ACCESS, SECRET = "AKOFTHETESTS0123456Z", "sk-of-the-tests-5f1c"
SECURITY_TOKEN, AUTH_TOKEN = "security-token-of-the-tests-77aa", "auth-token-of-the-tests-99bb"
KEYS = {
    "HUAWEICLOUD_SDK_AK": ACCESS,
    "HUAWEICLOUD_SDK_SK": SECRET,
    "HUAWEICLOUD_SDK_SECURITY_TOKEN": SECURITY_TOKEN,
}
QUICK = "[run]\nattempts_max = 2\nbackoff_base_s = 0.01\nbackoff_cap_s = 0.02\n"
ECHO = f"verify aksk signature fail: ak={ACCESS} canonicalRequest: POST|authorization: SDK-HMAC-SHA256 Access={ACCESS}"


def secrets_in(content: bytes) -> list[str]:
    """The secrets, as they are or in base64, that bytes hold, and whatever looks like a signed header."""
    forms = [
        form
        for text in (ACCESS, SECRET, SECURITY_TOKEN, AUTH_TOKEN)
        for form in (text.encode(), base64.b64encode(text.encode()).rstrip(b"="))
    ]
    found = [form.decode() for form in forms if form in content]
    return found + [
        match.decode() for match in re.findall(rb"(?i)Signature=[0-9a-f]{16,}|X-Security-Token: *\S+", content)
    ]


def assert_kept(folder: Path, *ended: Ended) -> None:
    """No secret in what was said, nor in any file, hidden ones and the ledger's journals included."""
    for command in ended:
        assert secrets_in((command.out + command.err).encode()) == []
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.name == "ledger.db" for path in files)
    for path in files:
        assert secrets_in(path.read_bytes()) == [], path


async def test_nothing_secret_is_written_whatever_is_refused(tmp_path: Path) -> None:
    write_settings(tmp_path, QUICK)
    wishes = some_rows(4)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(keys={ACCESS: SECRET}) as sky:
        words = (*sky.words("run", str(inventory)), "-vv")
        wrong = await batcher(tmp_path, *words, extra={**KEYS, "HUAWEICLOUD_SDK_SK": SECRET + "x"})
        assert wrong.code == 7, wrong.err
        for_row = [{"operation": "create", "match": {"resource_id": wish["resource_id"]}} for wish in wishes]
        await sky.script(
            {**for_row[0], "fault": "status", "status": 500, "code": "APIGW.0611", "message": ECHO, "times": None},
            {**for_row[1], "fault": "status_after", "status": 502, "code": "APIGW.0202", "message": ECHO},
            {**for_row[2], "fault": "status", "status": 400, "code": "ER.04009005", "message": ECHO},
        )
        failed = await batcher(tmp_path, *words, extra=KEYS)
        assert failed.code == 3, failed.err
        told = await batcher(tmp_path, "status", "-vv", "--output", "json", extra=KEYS)
        shown = await batcher(tmp_path, "status", "--show-config", extra=KEYS)
        assert_kept(tmp_path, wrong, failed, told, shown)
        assert b"***" in (tmp_path / "reports" / "latest" / "report.csv").read_bytes()
    down = await batcher(tmp_path, *words[:-1], extra=KEYS)
    assert_kept(tmp_path, down)


async def test_a_token_that_the_gateway_quotes_is_not_written(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(4))
    async with cloud(auth_tokens=frozenset({AUTH_TOKEN})) as sky:
        ended = await batcher(tmp_path, *sky.words("run", str(inventory)), "-vv", extra={"HW_AUTH_TOKEN": AUTH_TOKEN})
        assert ended.code == 0, ended.err
        await refuse(sky)
        refused = await batcher(tmp_path, *sky.words("run", str(inventory)), "-vv", extra={"HW_AUTH_TOKEN": AUTH_TOKEN})
        assert refused.code == 7, refused.err
        assert_kept(tmp_path, ended, refused)


async def refuse(sky: Cloud) -> None:
    """Have the gateway quote the token that it does not take."""
    said = f"decrypt token fail, X-Auth-Token: {AUTH_TOKEN}"
    rule = {"operation": "list", "fault": "status", "status": 401, "code": "APIGW.0307", "message": said}
    await sky.script(rule)


async def test_a_profile_that_cannot_be_read_is_not_quoted(tmp_path: Path) -> None:
    profile = tmp_path / ".huaweicloud" / "credentials"
    profile.parent.mkdir()
    profile.write_text(f"[basic]\nak = {ACCESS}\nsk {SECRET}\n")
    inventory = write_rows(tmp_path / "routers.csv", some_rows(1))
    ended = await batcher(tmp_path, "run", str(inventory), "-vv")
    assert ended.code == 2
    assert str(profile) in ended.err
    assert secrets_in((ended.out + ended.err).encode()) == []
