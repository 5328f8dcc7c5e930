"""Where a setting comes from: flag over environment over `batcher.toml` beside the inventory over default."""

from pathlib import Path

from tests.e2e.clouds import cloud
from tests.e2e.commands import EMULATOR_KEYS, batcher, column, side_by_side, summary, write_settings
from tests.e2e.inventories import some_rows, write_rows


async def shown(folder: Path, *words: str, **extra: str) -> dict[str, str]:
    """What `--show-config` prints, by setting."""
    ended = await batcher(folder, *words, "--show-config", extra=extra)
    assert (ended.code, ended.err) == (0, "")
    return dict(line.split(" = ", 1) for line in ended.out.splitlines())


async def test_each_setting_says_where_it_came_from(tmp_path: Path) -> None:
    (data := tmp_path / "data").mkdir()
    inventory = write_rows(data / "routers.csv", some_rows(1))
    file = write_settings(data, '[run]\nrate = "3/s"\nconcurrency = 3\nattempts_max = 3\n')
    environment = {"BATCHER_RUN_RATE": "4/s", "BATCHER_RUN_CONCURRENCY": "4"}
    found = await shown(tmp_path, "run", str(inventory), "--rate", "5/s", **environment)
    assert found["run.rate"] == '"5/s"  (flag)'
    assert found["run.concurrency"] == "4  (environment)"
    assert found["run.attempts_max"] == f"3  ({file})"
    assert found["run.retry_time_s"] == "900.0  (default)"
    assert not (tmp_path / "reports").exists()

    elsewhere = write_settings(tmp_path, '[run]\nrate = "9/s"\n')
    named = await shown(tmp_path, "run", str(inventory), "--config", str(elsewhere))
    assert named["run.rate"] == f'"9/s"  ({elsewhere})'
    assert named["run.attempts_max"] == "8  (default)"


async def test_every_command_that_reads_settings_shows_them(tmp_path: Path) -> None:
    write_settings(tmp_path, '[report]\ndirectory = "elsewhere"\n')
    commands = ("validate x.csv", "resume", "status", "report")
    for found in await side_by_side(
        shown(tmp_path, *command.split(), BATCHER_DEFAULTS_REGION="cn-east-3") for command in commands
    ):
        assert found["report.directory"] == '"elsewhere"  (batcher.toml)'
        assert found["defaults.region"] == '"cn-east-3"  (environment)'


WRONG: list[tuple[str, dict[str, str], list[str]]] = [
    ('[run]\nrat = "5/s"\n', {}, ["no setting `run.rat`", "toml", "did you mean `rate`?"]),
    ('[rum]\nrate = "5/s"\n', {}, ["no setting `rum`", "did you mean `run`?"]),
    ("rate = 5\n", {}, ["`rate`", "stands in no section", "`run`"]),
    ("", {"BATCHER_RUN_CONCURENCY": "5"}, ["no setting `run.concurency` (environment)", "`concurrency`"]),
    ("[run]\nattempts_max = 0\n", {}, ["`run.attempts_max`", "toml", "greater than or equal to 1"]),
    ("[run\n", {}, ["toml", "line 1"]),
]


async def test_a_setting_that_is_none_is_named(tmp_path: Path) -> None:
    for number, (text, _, _) in enumerate(WRONG):
        (tmp_path / f"{number}.toml").write_text(text)
    ends = await side_by_side(
        batcher(tmp_path, "status", "--config", f"{number}.toml", extra=environment)
        for number, (_, environment, _) in enumerate(WRONG)
    )
    for ended, (text, _, said) in zip(ends, WRONG, strict=True):
        assert (ended.code, ended.out) == (2, ""), text
        assert all(part in ended.err for part in said), ended.err


async def test_settings_beside_the_inventory_shape_the_run(tmp_path: Path) -> None:
    (data := tmp_path / "data").mkdir()
    wishes = some_rows(3)
    bare = [{"resource_id": wish["resource_id"]} for wish in wishes]
    inventory = write_rows(data / "routers.csv", bare)
    names = ("er_id", "log_group_id", "log_stream_id", "project_id", "region")
    defaults = "".join(f'{name} = "{wishes[0][name]}"\n' for name in names)
    write_settings(data, f'[defaults]\n{defaults}name_template = "log-of-{{er_id}}"\n[run]\nrate = "40/s"\n')
    async with cloud() as sky:
        words = ("run", str(inventory), "--endpoint", sky.url, "--no-progress")
        ended = await batcher(tmp_path, *words, extra=EMULATOR_KEYS)
        assert ended.code == 0, ended.err
        assert summary(tmp_path)["rates"]["asked"] == "40/s"
        there = await sky.flow_logs(wishes[0])
        assert {log["name"] for log in there} == {f"log-of-{wishes[0]['er_id']}"}
        assert {log["resource_id"] for log in there} == {wish["resource_id"] for wish in wishes}


async def test_a_later_sitting_keeps_the_rate_and_the_endpoint_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    inventory = write_rows(tmp_path / "data" / "routers.csv", some_rows(2))
    async with cloud() as sky:
        (tmp_path / "data" / "batcher.toml").write_text(f'[run]\nrate = "7/s"\n[cloud]\nendpoint = "{sky.url}"\n')
        await sky.script({"operation": "create", "fault": "status", "status": 400, "code": "ER.04009005"})
        ended = await batcher(tmp_path, "run", str(inventory), extra=EMULATOR_KEYS)
        assert ended.code == 3, ended.err
        ended = await batcher(tmp_path, "retry", extra=EMULATOR_KEYS)
        assert ended.code == 0, ended.err
    assert summary(tmp_path)["rates"]["asked"] == "7/s"


async def test_another_default_project_is_another_plan(tmp_path: Path) -> None:
    wishes = [{name: value for name, value in wish.items() if name != "project_id"} for wish in some_rows(1)]
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    (tmp_path / "batcher.toml").write_text("[run]\nattempts_max = 1\n[cloud]\nconnect_timeout_s = 1\n")
    for project in ("a" * 32, "b" * 32):
        extra = {**EMULATOR_KEYS, "HUAWEICLOUD_SDK_PROJECT_ID": project}
        ended = await batcher(tmp_path, "run", str(inventory), "--endpoint", "http://127.0.0.1:9", extra=extra)
        assert ended.code == 7, ended.err
        assert column(tmp_path, "project_id") == [project]


async def test_an_endpoint_that_cannot_be_used_is_refused_before_anything_is_kept(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(1))
    words = ("run", str(inventory), "--endpoint", "https://user:Sesame9@er.example.com")
    ended = await batcher(tmp_path, *words, extra=EMULATOR_KEYS)
    assert ended.code == 2
    assert "Sesame9" not in ended.out + ended.err
    assert not (tmp_path / "reports").exists()
