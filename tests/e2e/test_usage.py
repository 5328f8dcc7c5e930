"""What batcher will not begin: the message, the exit code 2, and that nothing was sent or left behind."""

import json
import re
from pathlib import Path

from tests.e2e.clouds import cloud
from tests.e2e.commands import EMULATOR_KEYS, batcher, side_by_side
from tests.e2e.inventories import some_rows, write_rows

FAULTY = Path(__file__).parents[2] / "inputs" / "faulty.csv"


async def test_without_credentials_it_says_what_is_missing(tmp_path: Path) -> None:
    inventories = [
        write_rows(tmp_path / "plain.csv", some_rows(3)),
        tmp_path / "lines.jsonl",
    ]
    inventories[1].write_text("".join(json.dumps(wish) + "\n" for wish in some_rows(3)))
    async with cloud() as sky:
        for inventory in inventories:
            ended = await batcher(tmp_path, *sky.words("run", str(inventory)))
            assert ended.code == 2, inventory
            assert ended.out == ""
            assert "no credentials for account `default`" in ended.err
            for name in ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "CLOUD_SDK_AK", "HW_ACCESS_KEY", "HW_AUTH_TOKEN"):
                assert name in ended.err
            assert ".huaweicloud/credentials" in ended.err
        assert (await sky.statistics())["calls"] == {}
    assert not list(tmp_path.rglob("*.emulator"))


async def test_half_a_key_pair_names_the_other_half(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(1))
    ended = await batcher(tmp_path, "run", str(inventory), extra={"HUAWEICLOUD_SDK_AK": "KEYOFMINE"})
    assert ended.code == 2
    assert "HUAWEICLOUD_SDK_SK" in ended.err
    assert "KEYOFMINE" not in ended.err


HEADER = b"er_id,resource_id,log_group_id,log_stream_id,project_id,region\n"


UNREADABLE: list[tuple[str, bytes | None, str]] = [
    ("gone.csv", None, "no such file"),
    ("bytes.csv", HEADER + b"1,\xff,3,4,5,6\n", "`bytes.csv:2`: byte offset 65"),
    ("quote.csv", HEADER + b'1,"2,3\n', "`quote.csv:2`"),
    ("column.csv", b"er_id,name\n1,2\n", "`resource_id`"),
    ("broken.json", b'[{"er_id": "1"},\n {"er_id": }]', "`broken.json:2`: broken JSON at byte offset 28"),
    ("torn.csv.gz", b"\x1f\x8b\x08\x00", "gzip"),
]


async def test_a_file_that_cannot_be_read_ends_the_command(tmp_path: Path) -> None:
    for name, content, _ in UNREADABLE:
        if content is not None:
            (tmp_path / name).write_bytes(content)
    async with cloud() as sky:
        ends = await side_by_side(sky.run(tmp_path, "run", name, "--ledger", f"{name}.db") for name, _, _ in UNREADABLE)
        assert (await sky.statistics())["calls"] == {}
    for ended, (name, _, said) in zip(ends, UNREADABLE, strict=True):
        assert (ended.code, ended.out) == (2, ""), name
        assert name in ended.err
        assert said in ended.err
    assert not (tmp_path / "reports").exists()


async def test_words_it_does_not_know_are_refused(tmp_path: Path) -> None:
    lines = ("", "run", "run x.csv --bogus", "run x.csv --rat 1/s", "provision x.csv", "schema everything")
    wrong_values = ("run x.csv --reconcile sometimes", "run x.csv --concurrency many")
    for ended in await side_by_side(batcher(tmp_path, *line.split()) for line in (*lines, *wrong_values)):
        assert (ended.code, ended.out) == (2, "")
        assert re.match(r"batcher: `batcher( \w+)?`: .+\nhint: .*`batcher( \w+)? --help` explains it\n$", ended.err), (
            ended.err
        )
    assert list(tmp_path.iterdir()) == []


MEANT = {
    "rn x.csv": ("unknown command `rn`", "did you mean `run`?"),
    "run x.csv --raet 5/s": ("`batcher run`: unknown option `--raet`", "did you mean `--rate`?"),
    "run x.csv --secret-key=TOPSECRET": ("unknown option `--secret-key`", "did you mean `--secret-key-env`?"),
    "run x.csv TOPSECRET": ("`batcher run`: unexpected argument", "`batcher run --help` explains it"),
    "ctl paus": ("ACTION `paus` is not one of status, rate, pause,", "did you mean `pause`?"),
    "run": ("`batcher run`: missing argument: INVENTORY", "`batcher run --help` explains it"),
}


async def test_the_wrong_word_is_named_with_the_one_that_may_be_meant(tmp_path: Path) -> None:
    for words, said in MEANT.items():
        ended = await batcher(tmp_path, *words.split())
        assert (ended.code, ended.out) == (2, "")
        assert len(ended.err.splitlines()) == 2
        assert all(part in ended.err for part in said), ended.err
        assert "TOPSECRET" not in ended.err


async def test_an_error_is_json_where_the_result_would_be(tmp_path: Path) -> None:
    for words in ("status nope --output json", "run --output=json", "run absent.csv --emulator --output json"):
        ended = await batcher(tmp_path, *words.split())
        found = json.loads(ended.out)
        assert (ended.code, found["exit_code"]) == (2, 2)
        hint = [f"hint: {found['hint']}"] if found["hint"] else []
        assert ended.err.splitlines() == [f"batcher: {found['error']}", *hint]


async def test_help_and_version_are_commands_too(tmp_path: Path) -> None:
    ended = await batcher(tmp_path, "help", "run")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (await batcher(tmp_path, "run", "--help")).out
    assert (await batcher(tmp_path, "help")).out == (await batcher(tmp_path, "--help")).out
    assert (await batcher(tmp_path, "version")).out == (await batcher(tmp_path, "--version")).out


SENSELESS = [
    ("--rate fast", "`run.rate` (flag): `fast` is no rate"),
    ("--concurrency 0", "`run.concurrency` (flag)"),
    ("--map resource_id", "`--map resource_id` is no pair"),
    ("--format pdf", "`report.formats` (flag)"),
    ("--endpoint http://er.example.com", "must use https"),
    ("--config absent.toml", "absent.toml"),
]


async def test_values_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(1))
    async with cloud() as sky:
        command = sky.words("run", str(inventory))
        ends = await side_by_side(
            batcher(tmp_path, *command, *words.split(), "--ledger", f"{number}.db", extra=EMULATOR_KEYS)
            for number, (words, _) in enumerate(SENSELESS)
        )
        assert (await sky.statistics())["calls"] == {}
    for ended, (words, said) in zip(ends, SENSELESS, strict=True):
        assert (ended.code, ended.out) == (2, ""), words
        assert said in ended.err


async def test_a_ledger_on_a_server_is_no_path(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(1))
    async with cloud() as sky:
        ended = await sky.run(tmp_path, "run", str(inventory), "--ledger", "postgres://host/batcher")
        assert ended.code == 2, ended.out
        assert "is no path of a ledger file" in ended.err
        assert (await sky.statistics())["calls"] == {}


async def test_strict_stops_before_the_first_call_each_time(tmp_path: Path) -> None:
    async with cloud() as sky:
        for _ in range(2):
            ended = await sky.run(tmp_path, "run", str(FAULTY), "--strict")
            assert ended.code == 2, ended.out
            assert "14 invalid rows" in ended.err
            assert "batcher validate" in ended.err
            assert (await sky.statistics())["calls"] == {}


async def test_a_plan_that_strict_refused_is_not_there_to_resume(tmp_path: Path) -> None:
    async with cloud() as sky:
        assert (await sky.run(tmp_path, "run", str(FAULTY), "--strict")).code == 2
        assert (await sky.run(tmp_path, "resume")).code == 2
        assert (await sky.statistics())["calls"] == {}


async def test_a_ledger_is_about_the_cloud_or_the_emulator(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(1))
    words = ("run", str(inventory), "--ledger", "one.db")
    assert (await batcher(tmp_path, *words, "--emulator", "--rate", "200/s")).code == 0
    async with cloud() as sky:
        for command in (words, ("resume", "--ledger", "one.db"), ("retry", "--ledger", "one.db")):
            ended = await sky.run(tmp_path, *command)
            assert ended.code == 2, ended.err
            assert "belongs to the emulator" in ended.err
            assert "--ledger" in ended.err
        assert (await sky.statistics())["calls"] == {}


async def test_commands_without_a_run_to_work_on_say_so(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(1))
    for ended in await side_by_side(batcher(tmp_path, command, "--emulator") for command in ("status", "report")):
        assert ended.code != 0
        assert "there is no ledger" in ended.err
        assert "Traceback" not in ended.err
    assert (await batcher(tmp_path, "run", str(inventory), "--emulator", "--rate", "200/s")).code == 0
    for line in ("resume", "retry", "resume no-such-run", "status no-such-run"):
        ended = await batcher(tmp_path, *line.split(), "--emulator")
        assert ended.code == 2, ended.err
        assert "the ledger" in ended.err
        assert ended.out == ""
