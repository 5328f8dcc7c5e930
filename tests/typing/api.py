"""Every public call of batcher as a user would write it. Checked by mypy and never run."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import assert_type

import batcher


async def nightly(inventory: str) -> int:
    stop = batcher.Stop()
    session = batcher.Session(settings=batcher.Settings.model_validate({"run": {"rate": "100/min"}}), stop=stop)
    result = await batcher.run_inventory(inventory, session)
    assert_type(result, batcher.RunResult)
    assert_type(result.run, batcher.RunRecord)
    assert_type(result.exit_code, int)
    assert_type(result.continued, bool)
    assert_type(result.changes, tuple[int, int, int] | None)
    publication = result.publication
    assert_type(publication, batcher.Publication)
    assert_type(publication.counts, Mapping[str, int])
    assert_type(publication.files, tuple[Path, ...])
    if publication.counts[batcher.Outcome.FAILED]:
        result = await batcher.retry_run(result.run.run_id, session)
    if result.run.state == "open":
        result = await batcher.resume_run(None, session)
    return result.exit_code


async def look(session: batcher.Session) -> list[str]:
    runs = await batcher.list_runs(session)
    assert_type(runs, list[batcher.RunRecord])
    for run in runs:
        assert_type(run.changes, tuple[tuple[float, str, str], ...])
        assert_type((await batcher.write_report(run.run_id, session)).directory, Path)
    await batcher.write_report(None, session)
    return [str(run.run_id) for run in runs]


async def check(inventory: str) -> batcher.Check:
    def tell(line: int, outcome: str, message: str) -> None:
        print(f"{inventory}:{line}: {outcome}: {message}")

    found = await batcher.check_inventory(inventory, batcher.Session(), tell)
    assert_type(found.counts, Mapping[str, int])
    assert_type(found.name, str)
    return found


async def foresee(inventory: str, session: batcher.Session) -> batcher.RunResult | None:
    paper = Path("plan.json")
    forecast = await batcher.plan_inventory(inventory, session, out=paper, night_s=6 * 3600.0)
    assert_type(forecast, batcher.Forecast)
    assert_type(forecast.rows, dict[batcher.Prospect, int])
    assert_type(forecast.calls, dict[str, int])
    assert_type(forecast.time_s, float)
    if any(lane.refused_by_quota for lane in forecast.lanes) or not forecast.rows[batcher.Prospect.CREATE]:
        return None
    result = await batcher.run_inventory(inventory, session, plan=paper)
    return await batcher.undo_run(result.run.run_id, session, force=True) if result.exit_code else result


async def visit(session: batcher.Session) -> list[batcher.Finding]:
    found: list[batcher.Finding] = []
    assert_type(await batcher.diagnose(session, found.append, "attachments.csv"), bool)
    assert_type(found[0].advice, str)
    return found


async def survey(session: batcher.Session) -> batcher.Discovery:
    found = await batcher.discover(session, sys.stdout, missing=True, form="json")
    assert_type(found.written, int)
    return found


async def steer(session: batcher.Session) -> batcher.LiveStatus:
    status = await batcher.live_status(session)
    assert_type(status, batcher.LiveStatus)
    assert_type(status.settled, Mapping[str, int])
    assert_type(status.paused_since, float | None)
    assert_type(status.lanes[0].writes_per_s, float)
    if status.state == "working" and status.open_rows > 1000:
        await batcher.set_rate("5/s", session)
        await batcher.pause_run(session)
        await batcher.continue_run(session)
    return await batcher.drain_run(session)


async def until_told(inventory: str, session: batcher.Session) -> None:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(batcher.run_inventory(inventory, session))
        session.stop.request("BATCHER.Interrupted")
    print(task.result().exit_code, session.stop.is_requested)


def main() -> int:
    settings = batcher.Settings()
    session = batcher.Session(settings=settings, emulator=True, environment={}, home=Path("/nowhere"))
    assert_type(settings.run.rate, str)
    assert_type(session.reports, Path)
    assert_type(batcher.__version__, str)
    try:
        return asyncio.run(nightly("attachments.csv"))
    except batcher.BatcherError as error:
        assert_type(error.hint, str)
        print(error, error.hint)
        return 2
