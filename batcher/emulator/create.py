"""Creating a flow log, once for each client token.

Enterprise Router documents `X-Client-Token` as an idempotency id of 1..64 characters and nothing more. What
it does here follows the ECS document "Idempotency" (2025-11-25): the same token with the same parameters
replays the first answer, refusals (4xx) included; with other parameters, or older than its lifetime, it is
refused. 429 and 5xx are not remembered. A replayed 202 shows the flow log as it is now. A service that forgets tokens
takes a call under an old one for a new call: `remember_tokens` off, or all forgotten at once by control.
"""

import hashlib
import json

from batcher.emulator import answers, bodies, fates, flow_logs, inventory
from batcher.emulator.answers import Answer, refusal
from batcher.emulator.bodies import NewFlowLog
from batcher.emulator.calls import Call
from batcher.emulator.faults import chance_of
from batcher.emulator.log_groups import has_stream
from batcher.emulator.state import Remembered
from batcher.emulator.world import World, invalid, router_fault

TOKEN_CHARS_MAX = 64
SUPPORTED_KINDS = frozenset({"vpc", "vpn", "vgw", "peering"})
MODELLED = "(Enterprise Router documents nothing here: modelled on the ECS document about idempotency)"


def create(world: World, call: Call) -> Answer:
    """Create a flow log: 202 with it, or a refusal; a token that was used before gets what it got then."""
    if call.token is None:
        return _answer(world, call, _create(world, call))
    if not 1 <= len(call.token) <= TOKEN_CHARS_MAX:
        return invalid(f"`X-Client-Token` must have 1..{TOKEN_CHARS_MAX} characters")
    if not world.settings.remember_tokens:
        return _answer(world, call, _create(world, call))
    fingerprint = _fingerprint(call)
    first = world.state.remembered(call.project_id, call.token)
    if first is not None:
        return _repeated(world, call, first, fingerprint)
    made = _create(world, call)
    use = Remembered(
        fingerprint=fingerprint,
        first_at=world.now,
        flow_log_n=made if isinstance(made, int) else None,
        refusal=None if isinstance(made, int) else json.dumps([made.status, made.content]),
    )
    world.state.remember(call.project_id, call.token, use)
    return _answer(world, call, made)


def _create(world: World, call: Call) -> Answer | int:
    """A refusal, or the number of the new flow log."""
    if fault := router_fault(world, call):
        return fault
    new = bodies.new_flow_log(call.document)
    if isinstance(new, str):
        return invalid(new)
    if fault := _place_fault(world, call, new):
        return fault
    fate = _fate(world, call, new)
    return flow_logs.insert(
        world.state,
        new,
        project_id=call.project_id,
        er_id=call.er_id,
        at=world.now,
        ready_at=flow_logs.FOREVER if fate == "pending" else world.now + world.settings.pending_s,
        final_state="failed" if fate == "failed" else "available",
        token=call.token,
    )


def _fate(world: World, call: Call, new: NewFlowLog) -> str:
    """What the flow log will be: as it was decided for its attachment, or else by the share of those that fail."""
    settings, key = world.settings, call.key
    decided = fates.fate_of(world.state, (call.project_id, call.er_id, new.resource_id))
    if decided is not None or not settings.failed_share:
        return decided or "available"
    nth = world.state.count_identity(f"made:{key}")
    return "failed" if chance_of(settings.seed, "failed", key, nth) < settings.failed_share else "available"


def _place_fault(world: World, call: Call, new: NewFlowLog) -> Answer | None:
    """Why the flow log cannot be made there; in an open world its router and attachment come into being."""
    state, project_id, er_id = world.state, call.project_id, call.er_id
    router_state = inventory.router_state(state, project_id, er_id)
    if router_state is None:
        inventory.put_router(state, project_id, er_id, world.now)
    elif router_state != "available":
        return refusal(400, answers.ROUTER_BUSY, f"The enterprise router {er_id} is {router_state}.")
    found = inventory.attachment(state, project_id, er_id, new.resource_id)
    if found is None and not world.settings.open_world:
        return refusal(404, answers.NO_ATTACHMENT, f"The attachment {new.resource_id} does not exist.")
    if found is None:
        inventory.put_attachment(state, {"project_id": project_id, "er_id": er_id, "id": new.resource_id}, world.now)
    elif fault := _attachment_fault(new.resource_id, *found):
        return fault
    return _log_fault(world, call, new)


def _log_fault(world: World, call: Call, new: NewFlowLog) -> Answer | None:
    state, project_id, er_id = world.state, call.project_id, call.er_id
    if not has_stream(world, project_id, new.log_group_id, new.log_stream_id):
        return invalid(f"the log group {new.log_group_id} has no stream {new.log_stream_id}, or does not exist")
    if world.settings.unique and flow_logs.is_taken(state, new, project_id=project_id, er_id=er_id):
        return refusal(400, answers.DUPLICATE, "The flow log task already exists.")
    quota = world.settings.quota_of(project_id)
    if 0 <= quota <= flow_logs.live(state, project_id):
        return refusal(400, answers.QUOTA_USED_UP, f"Insufficient quota: flow_log, limit {quota}.")
    return None


def _attachment_fault(attachment_id: str, attachment_state: str, kind: str) -> Answer | None:
    if kind not in SUPPORTED_KINDS:
        return refusal(400, answers.KIND_NOT_SUPPORTED, f"Attachments of type {kind} have no flow logs.")
    if attachment_state == "freezed":
        return refusal(400, answers.FROZEN, f"The attachment {attachment_id} is frozen.")
    if attachment_state != "available":
        return refusal(400, answers.ATTACHMENT_BUSY, f"The attachment {attachment_id} is {attachment_state}.")
    return None


def _repeated(world: World, call: Call, first: Remembered, fingerprint: bytes) -> Answer:
    if world.now - first.first_at > world.settings.token_lifetime_s:
        return invalid(f"this X-Client-Token was first used too long ago {MODELLED}")
    if first.fingerprint != fingerprint:
        return invalid(f"this X-Client-Token was used with other parameters {MODELLED}")
    if first.flow_log_n is not None:
        return _answer(world, call, first.flow_log_n)
    return Answer(*json.loads(first.refusal or "[]"))


def _answer(world: World, call: Call, made: Answer | int) -> Answer:
    if isinstance(made, Answer):
        return made
    headers = {} if call.token is None else {"X-Client-Token": call.token}
    shown = flow_logs.by_number(world.state, made, world.now, world.date_shift_s)
    return Answer(202, {"flow_log": shown}, headers)


def _fingerprint(call: Call) -> bytes:
    """What makes two calls the same: router and body, whatever the order of the body's fields."""
    try:
        body = call.body if call.document is None else json.dumps(call.document, sort_keys=True).encode()
    except RecursionError:
        body = call.body
    return hashlib.blake2b(call.er_id.encode("utf-8", "surrogatepass") + b"|" + body, digest_size=16).digest()
