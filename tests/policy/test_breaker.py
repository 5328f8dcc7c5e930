"""What a refusal means for the rows that were not sent because of it."""

import dataclasses

import pytest

from batcher.model import Kind, Refused, Stops
from batcher.policy.breaker import skip_code, skip_message, skips_the_rest, stop_code

QUOTA = Refused(Kind.PERMANENT, Stops.LANE, "ER.04009008", "quota exceeded", http_status=403)
FROZEN = dataclasses.replace(QUOTA, code="ER.403")
ROUTER = dataclasses.replace(QUOTA, code="ER.404", stops=Stops.SCOPE)
ROUTER_QUOTA = dataclasses.replace(QUOTA, stops=Stops.SCOPE)
KEY = Refused(Kind.PERMANENT, Stops.RUN, "APIGW.0301", "bad key", http_status=401)
NETWORK = Refused(Kind.TRANSIENT, Stops.LANE, "BATCHER.Unreachable", "no route", sent=False)
LEASE = Refused(Kind.TRANSIENT, Stops.LANE, "BATCHER.LeaseLost", "the lease ended", sent=False)


@pytest.mark.parametrize(
    ("refused", "skips", "code", "stops_run_with"),
    [
        (QUOTA, True, "BATCHER.QuotaExhausted", ""),
        (FROZEN, True, "BATCHER.LaneStopped", ""),
        (ROUTER, False, "BATCHER.RouterStopped", ""),
        (ROUTER_QUOTA, False, "BATCHER.QuotaExhausted", ""),
        (KEY, False, "BATCHER.LaneStopped", "BATCHER.AccessRefused"),
        (dataclasses.replace(KEY, stops=Stops.ACCOUNT), False, "BATCHER.LaneStopped", "BATCHER.AccessRefused"),
        (NETWORK, False, "BATCHER.LaneStopped", "BATCHER.EndpointUnreachable"),
        (LEASE, False, "BATCHER.LaneStopped", ""),
    ],
)
def test_a_refusal_stops_what_it_refused(refused: Refused, skips: bool, code: str, stops_run_with: str) -> None:
    assert skips_the_rest(refused) is skips
    assert skip_code(refused) == code
    assert stop_code(refused) == stops_run_with


def test_a_skipped_row_names_what_the_provider_said_of_the_other() -> None:
    message = skip_message(QUOTA)
    assert message.startswith("not attempted")
    assert "ER.04009008" in message
    assert "quota exceeded" in message
