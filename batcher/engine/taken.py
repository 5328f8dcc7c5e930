"""What the provider took: an answer of success becomes what is known of its row.

Such an answer does not say who made what it names. A token that was used before is answered with what it made then, and
that may be gone. So an answer settles a row only if `policy.evidence` says that this run's own request made the
thing; else the row stays accepted until the provider shows it.
"""

from dataclasses import replace

from batcher.engine.context import LaneContext
from batcher.engine.row_queue import Work
from batcher.engine.sends import sendings_of, sent_there_of
from batcher.engine.settling import elapsed_ms, record
from batcher.model import Applied, Outcome, RowState, Settlement
from batcher.policy.evidence import Maker, maker_of
from batcher.policy.found import AVAILABLE, FAILED, REMOTE_FAILED


def take(context: LaneContext, work: Work, answer: Applied) -> None:
    """Record what the answer to a row's send tells."""
    work.attempts += 1
    context.quota.note_success()
    maker = maker_of(answer.created_at, sendings_of(context, work), now_there=context.now_there)
    outcome, code, message = _outcome(context, answer, maker)
    record(context, work.row.scope, work.row.line, _taken(context, work, answer, maker, outcome, code, message))
    if maker is Maker.UNSURE:
        context.whose.unsure[work.row.row_no] = work, answer


def _taken(  # noqa: PLR0917  # what was taken, and what it amounts to
    context: LaneContext, work: Work, answer: Applied, maker: Maker, outcome: Outcome | None, code: str, message: str
) -> Settlement:
    """What is known of a row that the provider took; `outcome` None: it is not final."""
    is_final = outcome is not None
    return Settlement(
        row_no=work.row.row_no,
        expect=RowState.CLAIMED,
        state=RowState.SETTLED if is_final else RowState.ACCEPTED,
        outcome=outcome,
        attempts=work.row.attempts + work.attempts,
        remote_id=answer.remote_id,
        remote_state=answer.state,
        remote_enabled=answer.enabled,
        http_status=answer.http_status,
        error_code=code,
        error_message=message or work.note,
        request_id=answer.request_id,
        first_sent_at=work.first_sent_at,
        settled_at=context.clock.now() if is_final else None,
        duration_ms=elapsed_ms(context, work.started) if is_final else None,
        made={Maker.RUN: True, Maker.OTHER: False}.get(maker),
        sent_there=sent_there_of(context, work),
        told_there=context.now_there,
    )


def _outcome(context: LaneContext, answer: Applied, maker: Maker) -> tuple[Outcome | None, str, str]:
    """The outcome of an accepted row (None: not final yet), with code and message.

    An answer may repeat what its token made long ago, which may be gone: only the provider's listing can tell.
    """
    if maker in (Maker.OTHER, Maker.UNSURE):
        return None, "", ""
    if answer.state == FAILED:
        return Outcome.FAILED, "BATCHER.RemoteFailed", REMOTE_FAILED
    if not answer.as_wished or (answer.state != AVAILABLE and context.policy.verify):
        return None, "", ""
    return Outcome.CREATED, "", ""


async def settle_unsure(context: LaneContext, *, is_last: bool) -> None:
    """Judge again, now that more answers have told what time it is there, whose was taken within the same second.

    Unless this `is_last`, what still cannot be told waits for more answers.
    """
    await context.commit.flush()
    unsure, context.whose.unsure = context.whose.unsure, {}
    for work, answer in unsure.values():
        maker = maker_of(answer.created_at, sendings_of(context, work), now_there=context.now_there)
        if maker is Maker.UNSURE and not is_last:
            context.whose.unsure[work.row.row_no] = work, answer
            continue
        if maker is Maker.OTHER:
            context.whose.others.add(work.row.row_no)
            continue
        outcome, code, message = _outcome(context, answer, Maker.RUN)
        if outcome is not None:
            settlement = _taken(context, work, answer, Maker.RUN, outcome, code, message)
            record(context, work.row.scope, work.row.line, replace(settlement, expect=RowState.ACCEPTED))
