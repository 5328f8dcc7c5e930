"""The parts of README.md that are made from the code: tables, and the output of its commands.

`python -m tests.readme` writes them; `tests/test_readme.py` holds the file to them. A part stands after a comment
with its name: a fenced block, or a table.
"""

import asyncio
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from annotated_types import Ge, Gt, Le

from batcher.cli.exit_codes import EXIT_CODES
from batcher.cloud.classify import classify
from batcher.cloud.error_table import STOPS_WORDS, TABLE, Verdict
from batcher.config import all_keys
from batcher.policy.verdict import OWN_CODES
from batcher.settings import Settings
from tests.e2e.commands import batcher, start
from tests.e2e.inventories import write_inventory
from tests.readme_screens import SCREENS

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def exit_codes() -> str:
    """The table of exit codes."""
    return "\n".join(["| code | meaning |", "|---|---|", *(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES)])


def settings() -> str:
    """The table of settings."""
    lines = ["| section | key | default | meaning |", "|---|---|---|---|"]
    defaults = Settings()
    for section, key in all_keys():
        part = getattr(defaults, section)
        default = json.dumps(getattr(part, key))
        field = type(part).model_fields[key]
        meaning = f"{field.description}{_range_text(field.metadata)}"
        lines.append(f"| `{section}` | `{key}` | {'' if default == 'null' else f'`{default}`'} | {meaning} |")
    return "\n".join(lines)


def _range_text(bounds: Sequence[object]) -> str:
    """The range of a number, as an end to its meaning."""
    least = next((f"from {bound.ge:,}" for bound in bounds if isinstance(bound, Ge)), "")
    least = least or next((f"above {bound.gt:,}" for bound in bounds if isinstance(bound, Gt)), "")
    most = next((f"up to {bound.le:,}" for bound in bounds if isinstance(bound, Le)), "")
    return f" ({least}, {most})".replace(".0,", ",").replace(".0)", ")") if least and most else ""


def codes() -> str:
    """The table of batcher's own codes."""
    return "\n".join(
        ["| code | meaning |", "|---|---|", *(f"| `{code}` | {text} |" for code, text in OWN_CODES.items())]
    )


def errors() -> str:
    """The table of the provider's errors: every documented one, then what holds for all others."""
    words = {stops: word for word, stops in STOPS_WORDS.items()}

    def line(status: str, code: str, verdict: Verdict) -> str:
        kind = f"{verdict.kind}, may have been done" if verdict.ambiguous else verdict.kind.value
        return f"| {status} | {code} | {kind} | {words[verdict.stops]} | {verdict.advice} |"

    alike = groupby(TABLE.items(), key=lambda item: (item[0][0], item[1]))
    documented = [
        line(str(status), " ".join(f"`{code}`" if code else "none" for (_, code), _ in items), verdict)
        for (status, verdict), items in alike
    ]
    return "\n".join(
        [
            "| HTTP | code | kind | stops | what to do |",
            "|---|---|---|---|---|",
            *documented,
            line("401", "any other", classify(401, "")),
            line("403", "any other `APIGW.`", classify(403, "APIGW.0000")),
            line("403", "any other", classify(403, "ER.1")),
            line("408", "any", classify(408, "")),
            line("429", "any other", classify(429, "")),
            "| any other 4xx | any other `ER.` | | | as the status in its first four digits: `ER.0404...` is a 404 |",
            line("any other 4xx", "any other `APIGW.`", classify(400, "APIGW.0000")),
            line("any other 4xx", "any other", classify(400, "ER.1")),
            line("any other 4xx", "none", classify(400, "")),
            line("any other 5xx", "any other, or none", classify(500, "")),
            line("3xx", "any", classify(302, "")),
            line("2xx, but not as asked", "any", classify(200, "")),
        ]
    )


async def main_job() -> str:
    """What the first command prints on stdout."""
    with tempfile.TemporaryDirectory() as folder:
        inventory = str(ROOT / "inputs" / "attachments.csv")
        ended = await batcher(Path(folder), "run", inventory, "--emulator", "--rate", "50/s")
        return ended.out.strip()


async def report() -> str:
    """A few columns of the report of the faulty inventory."""
    with tempfile.TemporaryDirectory() as folder:
        inventory = str(ROOT / "inputs" / "faulty.csv")
        await batcher(Path(folder), "run", inventory, "--emulator", "--rate", "50/s")
        lines = (Path(folder) / "reports" / "latest" / "report.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines[:7]]
        shown = [f"line {row['line']}: {row['outcome']}: {row['error_message'] or row['flow_log_id']}" for row in rows]
        return "\n".join(shown)


async def resume() -> str:
    """A run killed when it was half done, and its resumption."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inventory(folder / "routers.csv", 1000)
        words = ("routers.csv", "--emulator", "--rate", "100/s")
        process = await start(folder, "run", *words, "-v", "--no-progress")
        assert process.stderr is not None
        settled = 0
        async for line in process.stderr:
            settled += b" row.settled " in line
            if settled == 400:
                break
        process.kill()
        await process.communicate()
        ended = await batcher(folder, "resume", *words[1:])
        shown = [
            "$ batcher run routers.csv --emulator --rate 100/s",
            "Killed",
            "$ batcher resume --emulator --rate 100/s",
        ]
        return "\n".join([*shown, *ended.out.strip().splitlines()])


async def doctor() -> str:
    """A doctor's visit to a rehearsal."""
    words = ("doctor", "--emulator", "--region", "cn-north-4")
    with tempfile.TemporaryDirectory() as folder:
        ended = await batcher(Path(folder), *words)
        return "\n".join([f"$ batcher {' '.join(words)}", *ended.out.strip().splitlines()])


async def plan() -> str:
    """The plan of an inventory of which a part is there."""
    inventory = str(ROOT / "inputs" / "attachments.csv")
    words = ("plan", "inputs/attachments.csv", "--emulator", "--rate", "50/s", "--for", "6h")
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part.csv"
        part.write_text("".join(Path(inventory).read_text(encoding="utf-8").splitlines(keepends=True)[:61]), "utf-8")
        await batcher(Path(folder), "run", str(part), "--emulator", "--rate", "200/s")
        ended = await batcher(Path(folder), words[0], inventory, *words[2:])
        return "\n".join([f"$ batcher {' '.join(words)}", *ended.out.strip().splitlines()])


TABLES: dict[str, Callable[[], str]] = {
    "exit codes": exit_codes,
    "settings": settings,
    "codes": codes,
    "errors": errors,
}
OUTPUTS = {
    "output of the main job": main_job,
    "output of the plan": plan,
    "output of the report": report,
    "output of the resume": resume,
    "output of the doctor": doctor,
}


def part(text: str, name: str) -> str:
    """What stands in the README after the comment with this name."""
    after = text.split(f"<!-- {name} -->\n", 1)[1]
    if after.startswith("```"):
        return after.split("\n", 1)[1].split("\n```", 1)[0]
    return after.split("\n\n", 1)[0]


def masked(output: str) -> str:
    """Output without what differs from run to run: ids, counted calls, ports and times."""
    output = re.sub(r"127\.0\.0\.1:\d+", "ENDPOINT", output)
    output = re.sub(r"in (\d+ ms|\d+[sm]\w*)", "in N", output)
    output = re.sub(r"\d{8}-\d{6}-[0-9a-f]{8}(-\d+)?", "RUN", output)
    output = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", output)
    return re.sub(r"[\d,]+ calls", "N calls", output)


def main() -> None:
    """Write every part anew."""
    text = README.read_text(encoding="utf-8")
    made = {name: make() for name, make in TABLES.items()}
    made |= {name: asyncio.run(make()) for name, make in (OUTPUTS | SCREENS).items()}
    for name, new in made.items():
        head, after = text.split(f"<!-- {name} -->\n", 1)
        old = part(text, name)
        text = f"{head}<!-- {name} -->\n{after.replace(old, new, 1)}"
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
