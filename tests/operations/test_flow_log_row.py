"""The rules of a row, column by column: what is taken, as what it is sent, and what is refused with which words."""

from collections.abc import Callable
from typing import cast

import pytest

from batcher.errors import ConfigError
from batcher.model import Barred, Fault, Wish
from batcher.operations.flow_log import FlowLogs
from batcher.operations.flow_log_row import COLUMNS, RULES, VALUE_SHOWN_MAX, RowDefaults
from tests.operations.wishes import ATTACHMENT, GROUP, PROJECT, ROUTER, ROW, STREAM, faults, flow_logs, wish

UUID = "ABCDEF01-2345-6789-abcd-ef0123456789"
BAD_UUIDS = [
    "",
    " ",
    UUID[:-1],
    UUID + "0",
    UUID.replace("-", ""),
    UUID.replace("A", "G", 1),
    f" {UUID}",
    f"{UUID}\n",
    f"{{{UUID}}}",
    f"../{UUID[3:]}",
    "\u0661" * 8 + UUID[8:],
]
BAD_LTS_IDS = [
    "",
    GROUP[:-1],
    GROUP + "0",
    GROUP.replace("-", "_"),
    f"{GROUP[:-1]}\n",
    f"{GROUP}\n",
    "\u00e9" * 36,
    "/" * 36,
]

# column: {as written: as sent}
GOOD: dict[str, dict[str, str]] = {
    "er_id": {ROUTER: ROUTER, ROUTER.upper(): ROUTER, UUID: UUID.lower()},
    "resource_id": {ATTACHMENT: ATTACHMENT, ATTACHMENT.upper(): ATTACHMENT, UUID: UUID.lower()},
    "log_group_id": {GROUP: GROUP, GROUP.upper(): GROUP, "z" * 36: "z" * 36, "-" * 36: "-" * 36},
    "log_stream_id": {STREAM: STREAM, STREAM.upper(): STREAM, "Z9-" * 12: "z9-" * 12},
    "name": {name: name for name in ("x", "x" * 64, " x ", "\u6d41" * 64, "\U0001f600", "=1+1", 'a"b\\c')},
    "description": {text: text for text in ("", "x", "x" * 255, "\u6d41" * 255, "two\nlines", " ")},
    "resource_type": {"attachment": "attachment", "vpc": "attachment", "virtual gateway": "attachment"},
    "log_store_type": {"LTS": "LTS", "lts": "LTS", "Lts": "LTS"},
    "enabled": {
        **dict.fromkeys(("true", "TRUE", "True", "yes", "YES", "1"), "true"),
        **dict.fromkeys(("false", "False", "FALSE", "no", "No", "0"), "false"),
    },
    "project_id": {PROJECT: PROJECT, "f" * 32: "f" * 32},
    "region": {name: name for name in ("cn-north-4", "eu-west-101", "x", "a" * 32)},
    "account": {name: name for name in ("default", "Team_A.prod-2", "x", "a" * 64)},
}
BAD: dict[str, list[str]] = {
    "er_id": BAD_UUIDS,
    "resource_id": BAD_UUIDS,
    "log_group_id": BAD_LTS_IDS,
    "log_stream_id": BAD_LTS_IDS,
    "name": ["", "x" * 65, "\u6d41" * 65, "\ud800"],
    "description": ["x" * 256, "\u6d41" * 256, "\udfff"],
    "resource_type": ["", "subnet", "attachments", "attachment\n", " attachment"],
    "log_store_type": ["", "OBS", "LTS ", "LTS\n"],
    "enabled": ["", "maybe", "2", "-1", "10", "truee", " true", "null"],
    "project_id": ["", "0" * 31, "0" * 33, "g" * 32, f"{PROJECT}\n", ROUTER],
    "region": ["", "CN-NORTH-4", "cn_north_4", "a" * 33, "cn-north-4/..", "cn-north-4\n"],
    "account": ["", "a b", "a/b", "a" * 65, "caf\u00e9", "a\n", "[basic]"],
}


def test_every_column_is_in_the_tables() -> None:
    assert tuple(GOOD) == tuple(BAD) == COLUMNS == tuple(RULES)


@pytest.mark.parametrize(
    ("column", "written", "sent"), [(column, a, b) for column, values in GOOD.items() for a, b in values.items()]
)
def test_a_value_that_keeps_its_rule_is_taken(column: str, written: str, sent: str) -> None:
    operation = flow_logs()
    assert operation.columns_of(wish(operation, **{column: written}).spec)[column] == sent


@pytest.mark.parametrize(
    ("look_alike", "says"),
    [
        ("\u2011", "its character 9 is U+2011, NON-BREAKING HYPHEN"),
        ("\u2013", "its character 9 is U+2013, EN DASH"),
        ("\uff0d", "its character 9 is U+FF0D, FULLWIDTH HYPHEN-MINUS"),
    ],
)
def test_a_character_that_only_looks_right_is_named(look_alike: str, says: str) -> None:
    (fault,) = faults(resource_id=ATTACHMENT.replace("-", look_alike))
    assert fault.rule == f"{RULES['resource_id']}; {says}"


def test_a_cyrillic_letter_is_named() -> None:
    (fault,) = faults(project_id="\u0430" + "0" * 31)
    assert fault.rule.endswith("; its character 1 is U+0430, CYRILLIC SMALL LETTER A")


@pytest.mark.parametrize(("column", "other"), [("resource_id", "er_id"), ("log_stream_id", "log_group_id")])
@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_no_id_is_that_of_two_things(column: str, other: str, change: Callable[[str], str]) -> None:
    (fault,) = faults(**{column: change(GROUP), other: GROUP})
    assert (fault.column, fault.rule) == (column, f"stands in `{other}` too: no id is that of two things")


@pytest.mark.parametrize(("column", "written"), [(column, value) for column in BAD for value in BAD[column]])
def test_a_value_that_breaks_its_rule_is_named_with_the_rule(column: str, written: str) -> None:
    (fault,) = faults(**{column: written})
    assert (fault.column, fault.rule.partition("; its character")[0]) == (column, RULES[column])
    assert len(fault.value) <= VALUE_SHOWN_MAX + 3
    assert fault.value.isprintable()
    assert fault.value[:10] == "".join(c if c.isprintable() else "\ufffd" for c in written[:10])


# `product.md`, Inventory: "the attachment kinds of older documents (VPC, virtual gateway, peering) are accepted".
@pytest.mark.parametrize("kind", ["VPC", "VPN", "VGW", "Peering", "Virtual Gateway", "ATTACHMENT"])
def test_a_kind_is_taken_as_the_older_documents_write_it(kind: str) -> None:
    wish(resource_type=kind)


@pytest.mark.parametrize("word", ["on", "off", "t", "f", "y", "n", "ON"])
def test_no_other_word_is_taken_for_true_or_false(word: str) -> None:
    faults(enabled=word)


def test_a_project_id_in_capitals_is_taken() -> None:
    assert wish(project_id=PROJECT.upper()).lane.project_id == PROJECT


@pytest.mark.parametrize(("shown", "value"), [(60, "x" * 60), (63, "x" * 61), (63, "x" * 100_000)])
def test_a_long_value_is_shortened(shown: int, value: str) -> None:
    (fault,) = faults(er_id=value)
    assert len(fault.value) == shown
    assert fault.value.endswith("...") == (len(value) > VALUE_SHOWN_MAX)


def test_a_row_with_many_faults_has_all_of_them_in_the_order_of_the_columns() -> None:
    found = faults(region="CN", name="", er_id="x", enabled="maybe", account="a b")
    assert [fault.column for fault in found] == ["er_id", "name", "enabled", "region", "account"]


def test_a_row_without_anything_is_told_what_is_missing() -> None:
    parsed = flow_logs().parse({})
    assert parsed == tuple(
        Fault(column, "", "is missing, and has no default")
        for column in ("er_id", "resource_id", "log_group_id", "log_stream_id", "project_id", "region")
    )


def test_columns_of_the_user_are_none_of_our_business() -> None:
    assert wish(Owner="net", ticket="") == wish()


# --- defaults -------------------------------------------------------------------------------------------


def test_defaults_fill_what_is_absent_and_yield_to_what_is_there() -> None:
    operation = flow_logs(
        er_id=ROUTER, log_group_id=GROUP, log_stream_id=STREAM, project_id=PROJECT, region="cn-north-4"
    )
    assert operation.parse({"resource_id": ATTACHMENT}) == wish()
    other = operation.parse({"resource_id": ATTACHMENT, "region": "cn-south-1"})
    assert isinstance(other, Wish)
    assert other.lane.region == "cn-south-1"


def test_what_nobody_says_is_the_fixed_default() -> None:
    columns = flow_logs().columns_of(wish().spec)
    assert columns == {
        **ROW,
        "account": "default",
        "name": f"flow-log-{ATTACHMENT}",
        "description": "",
        "enabled": "true",
        "resource_type": "attachment",
        "log_store_type": "LTS",
    }


def test_a_default_is_held_to_the_rule_of_its_column() -> None:
    (fault,) = faults(flow_logs(description="x" * 300))
    assert fault.column == "description"


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("flow-log-{resource_id}", f"flow-log-{ATTACHMENT}"),
        ("{region}/{account}", "cn-north-4/default"),
        ("all the same", "all the same"),
        ("{{{er_id}}}", f"{{{ROUTER}}}"),
        ("{description}-x", "-x"),
        ("{log_group_id}", GROUP),
    ],
)
def test_a_name_is_made_from_the_template(template: str, name: str) -> None:
    operation = FlowLogs(None, RowDefaults(name_template=template))
    assert operation.columns_of(wish(operation).spec)["name"] == name


def test_a_name_of_the_rows_own_needs_no_template() -> None:
    operation = FlowLogs(None, RowDefaults(name_template="flow-log-{resource_id}"))
    assert operation.columns_of(wish(operation, name="mine").spec)["name"] == "mine"


def test_a_template_that_makes_too_long_a_name_is_a_fault_of_the_row() -> None:
    operation = FlowLogs(None, RowDefaults(name_template="{er_id}-{resource_id}"))
    (fault,) = faults(operation)
    assert (fault.column, fault.rule) == ("name", RULES["name"])
    assert fault.value.startswith(ROUTER)


@pytest.mark.parametrize(
    "template",
    [
        "{}",
        "{0}",
        "{name}",
        "{Owner}",
        "{resource_id.upper}",
        "{resource_id[0]}",
        "{resource_id!r}",
        "{resource_id:>99999999}",
        "{resource_id:{region}}",
        "{resource_id",
        "resource_id}",
        "{ resource_id }",
    ],
)
def test_a_template_that_names_no_column_is_refused_before_the_first_row(template: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        RowDefaults(name_template=template)
    assert f"`{template}`" in str(refusal.value)


def test_a_refused_template_is_told_what_it_may_use() -> None:
    with pytest.raises(ConfigError) as refusal:
        RowDefaults(name_template="{Owner}")
    assert "`{resource_id}`" in refusal.value.hint
    assert "`{name}`" not in refusal.value.hint


def test_an_id_in_capitals_is_the_same_wish() -> None:
    assert wish(resource_id=ATTACHMENT.upper()) == wish()


# --- regions --------------------------------------------------------------------------------------------


def test_a_region_that_is_not_served_is_a_fault() -> None:
    operation = FlowLogs(None, RowDefaults(regions=frozenset({"cn-south-1"})))
    assert faults(operation) == (Fault("region", "cn-north-4", RULES["region"]),)
    assert wish(operation, region="cn-south-1").lane.region == "cn-south-1"


def test_a_region_that_is_not_served_is_named_beside_the_other_faults() -> None:
    operation = FlowLogs(None, RowDefaults(regions=frozenset({"cn-south-1"})))
    assert [fault.column for fault in faults(operation, name="")] == ["name", "region"]


def test_an_absent_project_is_that_of_the_rows_own_account() -> None:
    projects = {"default": PROJECT, "north": "b" * 32}
    operation = FlowLogs(None, RowDefaults(project_of=lambda account, _: projects.get(account, "")))
    fields = {column: value for column, value in ROW.items() if column != "project_id"}
    found = [operation.parse({**fields, "account": account}) for account in ("default", "north")]
    assert [one.lane.project_id for one in found if isinstance(one, Wish)] == [PROJECT, "b" * 32]
    homeless = operation.parse({**fields, "account": "south"})
    assert homeless == (Fault("project_id", "", "is missing, and has no default"),)


def test_a_row_whose_project_could_not_be_looked_up_is_barred_and_not_at_fault() -> None:
    why = {("south", "cn-north-4"): "the key was refused"}
    defaults = RowDefaults(project_of=lambda *_: "", refusal_of=lambda *place: why.get(place, ""))
    operation = FlowLogs(None, defaults)
    fields = {column: value for column, value in ROW.items() if column != "project_id"}
    assert operation.parse({**fields, "account": "south"}) == Barred("the key was refused")
    faulty = operation.parse({**fields, "account": "south", "name": ""})
    assert [fault.column for fault in cast("tuple[Fault, ...]", faulty)] == ["name", "project_id"]
    assert isinstance(operation.parse({**ROW, "account": "south"}), Wish)


@pytest.mark.parametrize("wrong", [{"region": "CN NORTH"}, {"account": "a b"}])
def test_a_row_whose_place_is_no_place_does_not_lack_a_project_besides(wrong: dict[str, str]) -> None:
    operation = FlowLogs(None, RowDefaults(project_of=lambda *_: ""))
    fields = {column: value for column, value in ROW.items() if column != "project_id"}
    found = cast("tuple[Fault, ...]", operation.parse({**fields, **wrong}))
    assert [fault.column for fault in found] == list(wrong)
