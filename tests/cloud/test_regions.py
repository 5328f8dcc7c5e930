"""Endpoints by region, and the URLs that may be one."""

import pytest

from batcher.cloud.regions import REGIONS, check_endpoint, er_endpoint
from batcher.errors import ConfigError


@pytest.mark.parametrize(
    ("region", "overrides", "endpoint", "url"),
    [
        ("cn-north-4", {}, None, "https://er.cn-north-4.myhuaweicloud.com"),
        ("eu-west-101", {}, None, "https://er.eu-west-101.myhuaweicloud.eu"),
        ("cn-north-4", {"cn-north-4": "https://er.example.com/"}, None, "https://er.example.com"),
        ("ru-moscow-1", {"ru-moscow-1": "er.ru-moscow-1.hc.cloud.ru"}, "", "https://er.ru-moscow-1.hc.cloud.ru"),
        ("eu-de", {"eu-de": "https://er.eu-de.otc.t-systems.com"}, None, "https://er.eu-de.otc.t-systems.com"),
        ("cn-north-4", {"cn-north-4": "https://no"}, "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("anything", {}, "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
def test_the_endpoint_wins_over_the_override_over_the_list(
    region: str, overrides: dict[str, str], endpoint: str | None, url: str
) -> None:
    assert er_endpoint(region, overrides, endpoint) == url


def test_every_listed_region_has_an_endpoint() -> None:
    assert len(set(REGIONS)) == 27
    assert all(check_endpoint(url) == url for url in (er_endpoint(region, {}, None) for region in REGIONS))


@pytest.mark.parametrize(
    ("region", "near"),
    [("cn-nort-4", "`cn-north-4`"), ("CN-NORTH-4x", ""), ("eu-west-102", "`eu-west-101`"), ("eu-d", "`eu-de`")],
)
def test_an_unknown_region_is_named_with_those_near_it(region: str, near: str) -> None:
    with pytest.raises(ConfigError) as raised:
        er_endpoint(region, {"eu-de": "https://er.eu-de.example.com"}, None)
    assert region in str(raised.value)
    assert near in raised.value.hint
    assert "endpoint" in raised.value.hint


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://er.example.com", "https://er.example.com"),
        ("https://er.example.com/", "https://er.example.com"),
        ("HTTPS://ER.Example.com:443", "https://er.example.com"),
        ("https://er.example.com:8443", "https://er.example.com:8443"),
        (" er.example.com ", "https://er.example.com"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://127.8.8.8", "http://127.8.8.8"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_what_an_endpoint_may_be(url: str, base: str) -> None:
    assert check_endpoint(url) == base


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://er.example.com", "must use https"),
        ("http://localhost.example.com", "must use https"),
        ("http://10.0.0.1", "must use https"),
        ("ftp://er.example.com", "must use https"),
        ("https://er.example.com/v3", "is not an endpoint"),
        ("https://er.example.com?x=1", "is not an endpoint"),
        ("https://er.example.com#x", "is not an endpoint"),
        ("https://er example.com", "is not an endpoint"),
        ("https://", "is not an endpoint"),
        ("", "is not an endpoint"),
        ("https://er.example.com:port", "is not a URL"),
        ("https://er.example.com:99999", "is not a URL"),
        ("https://[::1", "is not a URL"),
    ],
)
def test_what_an_endpoint_may_not_be(url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        check_endpoint(url)


@pytest.mark.parametrize(
    "url", ["https://user:hush@er.example.com", "https://hush@er.example.com", "https://u:hush@h:port"]
)
def test_an_endpoint_with_a_password_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        check_endpoint(url)
    assert "hush" not in f"{raised.value} {raised.value.hint}"
