"""Endpoints by service and region, and the URLs that may be one."""

from collections.abc import Mapping

import pytest
from huaweicloudsdkcore.auth.endpoint import get_iam_endpoint_by_id

from batcher.cloud.endpoints import REGIONS, Endpoints, Service, check_endpoint
from batcher.errors import ConfigError

ER, IAM, LTS = Service.ER, Service.IAM, Service.LTS
OTC = "https://er.{region}.otc.t-systems.com"
EMULATOR = "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("service", "region", "url"),
    [
        (ER, "cn-north-4", "https://er.cn-north-4.myhuaweicloud.com"),
        (IAM, "cn-north-4", "https://iam.cn-north-4.myhuaweicloud.com"),
        (LTS, "cn-north-4", "https://lts.cn-north-4.myhuaweicloud.com"),
        (ER, "eu-west-101", "https://er.eu-west-101.myhuaweicloud.eu"),
        (IAM, "eu-west-101", "https://iam.eu-west-101.myhuaweicloud.eu"),
        (LTS, "eu-west-101", "https://lts.eu-west-101.myhuaweicloud.eu"),
        (IAM, "af-north-1", "https://iam.myhuaweicloud.com"),
    ],
)
def test_the_providers_own_regions_are_known(service: Service, region: str, url: str) -> None:
    assert Endpoints().of(service, region) == url


def test_every_region_has_every_service() -> None:
    assert len(set(REGIONS)) == 27
    urls = [Endpoints().of(service, region) for region in REGIONS for service in Service]
    assert all(check_endpoint(url) == url for url in urls)


def test_iam_is_where_the_official_sdk_looks_for_it() -> None:
    for region in set(REGIONS) - {"eu-west-101"}:  # the SDK takes a host in another domain for it
        assert Endpoints().of(IAM, region) == get_iam_endpoint_by_id(region, "https://iam.myhuaweicloud.com")


@pytest.mark.parametrize(
    ("everywhere", "by_region", "region", "url"),
    [
        ({}, {"cn-north-4": {ER: "https://er.example.com/"}}, "cn-north-4", "https://er.example.com"),
        ({}, {"cn-north-4": {ER: "https://no"}}, "cn-north-9", "https://er.cn-north-9.myhuaweicloud.com"),
        ({}, {"ru-moscow-2": {ER: "er.{region}.hc.cloud.ru"}}, "ru-moscow-2", "https://er.ru-moscow-2.hc.cloud.ru"),
        ({ER: OTC}, {}, "eu-de", "https://er.eu-de.otc.t-systems.com"),
        ({ER: OTC}, {"eu-de": {IAM: "https://no"}}, "eu-de", "https://er.eu-de.otc.t-systems.com"),
        ({ER: OTC}, {"eu-nl": {ER: "https://er.example.com"}}, "eu-nl", "https://er.example.com"),
        ({ER: EMULATOR}, {}, "anything", EMULATOR),
    ],
)
def test_a_regions_own_url_wins_over_the_one_for_all_and_that_over_the_provider(
    everywhere: Mapping[Service, str], by_region: Mapping[str, Mapping[Service, str]], region: str, url: str
) -> None:
    assert Endpoints(everywhere=everywhere, by_region=by_region).of(ER, region) == url


@pytest.mark.parametrize(
    "endpoints",
    [
        Endpoints(everywhere={ER: "https://er.cn-north-4.example.com"}),
        Endpoints(by_region={"cn-north-4": {ER: "https://er.example.com"}}),
    ],
    ids=["everywhere", "by region"],
)
@pytest.mark.parametrize(("service", "setting"), [(IAM, "`cloud.iam_endpoint`"), (LTS, "`cloud.lts_endpoint`")])
def test_another_clouds_services_are_never_guessed(endpoints: Endpoints, service: Service, setting: str) -> None:
    with pytest.raises(ConfigError, match=r"er\.\S*example\.com") as raised:
        endpoints.of(service, "cn-north-4")
    assert setting in raised.value.hint
    assert "myhuaweicloud" not in f"{raised.value} {raised.value.hint}"


def test_a_region_of_the_provider_keeps_its_services_beside_one_of_another_cloud() -> None:
    endpoints = Endpoints(by_region={"eu-de": {ER: OTC, IAM: "https://iam.{region}.otc.t-systems.com"}})
    assert endpoints.of(IAM, "eu-de") == "https://iam.eu-de.otc.t-systems.com"
    assert endpoints.of(IAM, "cn-north-4") == "https://iam.cn-north-4.myhuaweicloud.com"


def test_one_service_may_be_elsewhere_without_the_others() -> None:
    endpoints = Endpoints(everywhere={LTS: "https://lts.example.com"})
    assert endpoints.of(LTS, "cn-north-4") == "https://lts.example.com"
    assert endpoints.of(ER, "cn-north-4") == "https://er.cn-north-4.myhuaweicloud.com"


@pytest.mark.parametrize("url", [EMULATOR, "http://localhost:8080", "http://[::1]:8080", "https://127.0.0.1:8443"])
def test_the_emulator_serves_everything_in_one_place(url: str) -> None:
    endpoints = Endpoints(everywhere={ER: url})
    assert [endpoints.of(service, "cn-north-4") for service in Service] == [url] * 3


def test_a_url_that_is_given_wins_over_the_emulators() -> None:
    endpoints = Endpoints(everywhere={ER: EMULATOR, IAM: "http://127.0.0.1:9090"})
    assert endpoints.of(IAM, "cn-north-4") == "http://127.0.0.1:9090"


@pytest.mark.parametrize(
    ("region", "near"),
    [("cn-nort-4", "`cn-north-4`"), ("moon", ""), ("eu-west-102", "`eu-west-101`"), ("eu-d", "`eu-de`")],
)
def test_an_unknown_region_is_named_with_those_near_it(region: str, near: str) -> None:
    endpoints = Endpoints(by_region={"eu-de": {ER: "https://er.eu-de.example.com"}})
    with pytest.raises(ConfigError, match=f"unknown region `{region}`") as raised:
        endpoints.of(ER, region)
    assert near in raised.value.hint
    assert ("did you mean" in raised.value.hint) == bool(near)
    assert "`cloud.endpoint`" in raised.value.hint


@pytest.mark.parametrize("service", [ER, IAM, LTS])
def test_no_service_of_an_unknown_region_is_guessed(service: Service) -> None:
    with pytest.raises(ConfigError, match="unknown region"):
        Endpoints().of(service, "eu-de")


@pytest.mark.parametrize("region", ["", "CN-NORTH-4", "a.b", "evil.com/", "a@b", "x" * 33, "é", "cn_north", "a\n"])
def test_a_name_that_no_host_name_may_hold_is_no_region(region: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the name of a region"):
        Endpoints(everywhere={ER: OTC}).of(ER, region)
    with pytest.raises(ConfigError, match="cannot be the name of a region"):
        Endpoints(by_region={region: {ER: "https://er.example.com"}})


def test_the_regions_a_row_may_use() -> None:
    assert Endpoints().regions() == frozenset(REGIONS)
    extended = Endpoints(by_region={"eu-de": {ER: OTC}, "eu-nl": {IAM: "https://iam.example.com"}})
    assert extended.regions() == frozenset({*REGIONS, "eu-de"})
    assert Endpoints(everywhere={IAM: "https://iam.example.com"}).regions() == frozenset(REGIONS)
    assert Endpoints(everywhere={ER: OTC}).regions() is None


@pytest.mark.parametrize("url", ["http://er.{region}.example.com", "https://{Region}.example.com", "", "https://a/b"])
def test_a_bad_url_is_refused_before_anything_is_sent(url: str) -> None:
    for service in Service:
        with pytest.raises(ConfigError):
            Endpoints(everywhere={service: url})
        with pytest.raises(ConfigError):
            Endpoints(by_region={"eu-de": {service: url}})


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


def test_a_place_is_told_by_the_endpoint_and_not_by_how_it_is_written() -> None:
    host = "https://er.eu-de.otc.t-systems.com"
    for same in (
        Endpoints(everywhere={ER: OTC}),
        Endpoints(everywhere={ER: f"{host}:443/"}),
        Endpoints(by_region={"eu-de": {ER: "ER.EU-DE.otc.t-systems.com"}}),
        Endpoints(everywhere={ER: EMULATOR}, by_region={"eu-de": {ER: host}}),
    ):
        assert same.place("eu-de") == host
    assert Endpoints(everywhere={ER: EMULATOR}).place("eu-de") == Endpoints(everywhere={ER: EMULATOR}).place("eu-nl")
    assert Endpoints(everywhere={ER: EMULATOR}).place("eu-de") != host
    own = "https://er.cn-north-4.myhuaweicloud.com"
    assert Endpoints().place("cn-north-4") == Endpoints(everywhere={ER: own}).place("cn-north-4") == "cn-north-4"
    assert Endpoints(everywhere={ER: own}).place("cn-east-3") == own
