import codecs
import gzip

import pytest

from tests.inventory.reading import read, refusal

TEXT = "er_id,name\ne1,流量日志\n"
WANTED = {"er_id": "e1", "name": "流量日志"}


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "gb18030", "big5", "utf-16", "utf-16-le", "utf-7", "utf-32"])
@pytest.mark.parametrize("zipped", [False, True])
def test_any_python_codec_can_be_named(encoding: str, zipped: bool) -> None:
    text = TEXT.replace("流量日志", "日本") if encoding == "big5" else TEXT
    data = text.encode(encoding)
    (row,) = read(gzip.compress(data) if zipped else data, encoding=encoding)
    assert row.fields == {**WANTED, "name": text.split(",")[-1].strip()}


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
@pytest.mark.parametrize("named", ["utf-8", "utf-8-sig", "gbk", "utf-16"])
def test_a_byte_order_mark_outranks_the_named_encoding(mark: bytes, encoding: str, named: str) -> None:
    (row,) = read(mark + TEXT.encode(encoding), encoding=named)
    assert row.fields == WANTED


def test_a_character_may_lie_across_two_reads() -> None:
    line = "e1,日志é😀\r\n"
    for shift in range(len(line.encode())):
        data = b"er_id,own\n" + b"x" * shift + b"\r\n" + line.encode() * 5_000
        rows = read(data, encoding="utf-8")
        assert {row.fields["own"] for row in rows[-5_000:]} == {"日志é😀"}
        assert rows[-1].line == 5_002


@pytest.mark.parametrize(
    ("data", "encoding", "message"),
    [
        (
            b"er_id,name\r\ne1,caf\xe9\r\n",
            "utf-8",
            "`stdin:2`: byte offset 18 (0xe9) is not valid utf-8 (invalid continuation byte)",
        ),
        (b"er_id\n\n\xff", "utf-8", "`stdin:3`: byte offset 7 (0xff) is not valid utf-8 (invalid start byte)"),
        (b"er_id\re1\r\xff", "utf-8", "`stdin:3`: byte offset 9 (0xff)"),
        (b"\xef\xbb\xbfer_id\n\xff\n", "utf-8", "`stdin:2`: byte offset 9 (0xff)"),
        (b"er_id\ne1\xe6\x97", "utf-8", "`stdin:2`: byte offset 8 (0xe6) is not valid utf-8 (unexpected end of data)"),
        (b"er_id\n\xc1\xf7\n\xff\n", "gbk", "`stdin:3`: byte offset 9 (0xff) is not valid gbk"),
        (b"er_id\n\xc1", "gbk", "`stdin:2`: byte offset 6 (0xc1) is not valid gbk (incomplete multibyte sequence)"),
        ("er_id\n".encode("utf-16-le") + b"\x00\xdc\n\0", "utf-16-le", "`stdin:2`: byte offset 12 (0x00)"),
        (b"\xff\xfe" + "er_id\n".encode("utf-16-le") + b"x", "utf-8", "`stdin:2`: byte offset 14 (0x78)"),
        (b"er_id\n\x81\n", "cp1252", "`stdin:2`: byte offset 6 (0x81) is not valid cp1252"),
        (b"e\0r\0\0\xdc", "utf-16", "`stdin:1`: byte offset 4 (0x00) is not valid utf-16"),
        (b"e\0r\0", "utf-16", "`stdin:1`: the text is not valid utf-16 (UTF-16 stream does not start with BOM)"),
        (b"er_id-\nx\xff-", "punycode", "`stdin:1`: the text is not valid punycode"),
        (b"er_id\n+2AA-x\n", "utf-7", "`stdin:2`: the utf-7 text holds half a surrogate pair"),
    ],
)
def test_a_bad_byte_is_named_exactly(data: bytes, encoding: str, message: str) -> None:
    assert message in refusal(data, encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "shift_jis", "euc-kr", "big5"])
@pytest.mark.parametrize("lead", range(3))
def test_a_bad_byte_is_named_exactly_wherever_the_reads_fall(encoding: str, lead: int) -> None:
    line = "e1,日本\r\n".encode(encoding)
    start = b"er_id,own\r\n" + b"x" * lead + b"\r\n"
    count = 3 * 64 * 1024 // len(line)
    data = start + line * count + b"e1,\xff\n" + line * 9
    offset = len(start) + len(line) * count + 3
    assert f"`stdin:{count + 3}`: byte offset {offset} (0xff)" in refusal(data, encoding=encoding)


@pytest.mark.parametrize("encoding", ["klingon", "hex", "undefined", "rot13", "", "a\0b", "\ud800"])
def test_an_unknown_encoding_is_refused(encoding: str) -> None:
    assert "unknown encoding" in refusal(TEXT.encode(), encoding=encoding)


def test_a_gzip_stream_that_breaks_off_is_refused_with_its_line() -> None:
    text = b"er_id,own\n" + b"".join(b"e%d,%d\n" % (at, at * 7919 % 10007) for at in range(20_000))
    whole = gzip.compress(text)
    for size in (5, len(whole) // 2, len(whole) - 4):
        message = refusal(whole[:size])
        assert "the gzip stream breaks off after byte offset" in message
        assert "cannot read `stdin:" in message
    line = int(refusal(whole[:-4]).split(":")[1].split("`")[0])
    assert line == 20_002


def test_a_damaged_gzip_stream_is_refused() -> None:
    whole = bytearray(gzip.compress(b"er_id,own\n" + bytes(range(48, 91)) * 5000))
    for at in (len(whole) // 2, len(whole) - 6):
        damaged = bytes(whole[:at]) + bytes([whole[at] ^ 0xFF]) + bytes(whole[at + 1 :])
        assert "the gzip stream is damaged after byte offset" in refusal(damaged)
    assert "the gzip stream is damaged" in refusal(bytes(whole) + b"trailing")
