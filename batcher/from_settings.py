"""What settings say, in the words of the rooms that act on it: endpoints, what errors mean, sources of credentials."""

from collections.abc import Callable, Mapping
from typing import Any

from batcher.cloud.classify import classify
from batcher.cloud.credentials import CredentialOptions
from batcher.cloud.endpoints import Endpoints, Service
from batcher.cloud.error_table import STOPS_WORDS, Verdict, merged, user_verdict
from batcher.model import Stops
from batcher.policy.breaker import cause_in
from batcher.policy.verdict import OWN_ADVICE
from batcher.settings import CloudSettings, ErrorEntry, Section, Settings


def endpoints_of(settings: Settings) -> Endpoints:
    """Where the provider's services answer under these settings. Raises `ConfigError`."""
    cloud = settings.cloud
    named = {Service.ER: cloud.endpoint, Service.IAM: cloud.iam_endpoint, Service.LTS: cloud.lts_endpoint}
    return Endpoints(
        everywhere={service: url for service, url in named.items() if url},
        by_region={
            region: {service: url for service in Service if (url := getattr(urls, service))}
            for region, urls in cloud.regions.items()
        },
    )


def error_table(settings: Settings) -> Mapping[tuple[int, str], Verdict]:
    """What errors mean under these settings. Raises `ConfigError`."""
    return merged(
        {
            (entry.status, entry.code): user_verdict(
                entry.status,
                entry.code,
                kind=entry.kind,
                stops=entry.stops or _usual_stop(entry),
                advice=entry.advice,
                ambiguous=entry.ambiguous,
                definitive=entry.definitive,
            )
            for entry in settings.cloud.errors
        }
    )


def _usual_stop(entry: ErrorEntry) -> str:
    """What an error stops by the built-in table, in the words of settings; what is no longer for good: its row."""
    usual = classify(entry.status, entry.code)
    reach = usual.stops if entry.kind == usual.kind == "permanent" else Stops.ROW
    return next(word for word, stops in STOPS_WORDS.items() if stops is reach)


def advice(settings: Settings) -> Callable[[int | None, str, str], str]:
    """What a person can do about an HTTP status, a code and its message, by the table of errors; empty: it has nothing.

    A code of batcher's own that follows from one of the provider's has the advice of that one, which its message names.
    """
    table = error_table(settings)
    by_code = {code: verdict.advice for (_, code), verdict in table.items() if verdict.advice}

    def advise(status: int | None, code: str, message: str) -> str:
        if code.startswith("BATCHER."):
            cause = cause_in(message)
            return (by_code.get(cause, "") if cause else "") or OWN_ADVICE.get(code, "")
        return "" if status is None else classify(status, code, table).advice

    return advise


def credential_options(settings: Settings) -> CredentialOptions:
    """Where credentials are looked for under these settings."""
    return CredentialOptions(**settings.credentials.model_dump(exclude={"metadata", "metadata_endpoint"}))


_SERVICE_OF = {"endpoint": "er", "iam_endpoint": "iam", "lts_endpoint": "lts"}


def continued(section: Section, kept: object) -> Section:
    """A section as it is given now, and what is not given now as a run has `kept` it.

    What is given for all regions holds in each, also where the run had its own; a region that is given leaves the
    run's others as they were.
    """
    values: dict[str, Any] = dict(kept) if isinstance(kept, Mapping) else {}
    given = {key: getattr(section, key) for key in section.model_fields_set}
    if isinstance(section, CloudSettings):
        given["regions"] = _continued_regions(values.get("regions"), given)
    return type(section).model_validate({**values, **given})


def _continued_regions(kept: object, given: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    renamed = {_SERVICE_OF[key] for key in _SERVICE_OF if given.get(key)}
    regions = {
        region: {service: url for service, url in urls.items() if service not in renamed}
        for region, urls in (kept.items() if isinstance(kept, Mapping) else ())
    }
    for region, urls in given.get("regions", {}).items():
        regions[region] = {**regions.get(region, {}), **urls.model_dump(exclude_none=True)}
    return regions
