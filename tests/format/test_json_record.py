"""Plain records: the same text is taken or refused by every reader."""

import math
import subprocess
import sys

import pytest

from lnx import ContentError, FormatError
from lnx.binary.json_record import dump_record, load_record
from tests.format.making import ENVIRONMENT

NESTED = "[" * 15 + "]" * 15


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ('{"a":9223372036854775808,"b":-9223372036854775808}',
         {"a": 1 << 63, "b": -(1 << 63)}),
        ('{"a":18446744073709551615}', {"a": (1 << 64) - 1}),
        ('{"a":-0,"b":1e2}', {"a": 0, "b": 100.0}),
        ('{"a":1.7976931348623157e308}', {"a": sys.float_info.max}),
        ('{"\\ud83d\\ude00":"\\u0000"}', {"\U0001f600": "\0"}),
        ('{"a":{"b":1},"b":2}', {"a": {"b": 1}, "b": 2}),
        ('{"a":"[[[[[[[[[[[[[[[[[[[["}', {"a": "[" * 20}),
        ("{}", {}),
    ],
)  # fmt: skip
def test_legal_records(text, record):
    assert load_record("record", text) == record


def test_records_nest_sixteen_deep():
    assert load_record("record", f'{{"a":{NESTED}}}')
    with pytest.raises(FormatError, match="nests deeper than 16"):
        load_record("record", f'{{"a":[{NESTED}]}}')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a":1,"a":2}', "a key appears twice"),
        ('{"a":1,"\\u0061":2}', "a key appears twice"),
        ('{"a":{"b":1,"b":1}}', "a key appears twice"),
        ('{"a":"\\ud800"}', "half of a surrogate pair"),
        ('{"\\udc00":1}', "half of a surrogate pair"),
        ('{"a":["\\ude00\\ud83d"]}', "half of a surrogate pair"),
        ('{"a":NaN}', "NaN is not a number"),
        ('{"a":-Infinity}', "-Infinity is not a number"),
        ('{"a":1e309}', "number 1e309 is out of bounds"),
        ('{"a":18446744073709551616}', "does not fit 64 bits"),
        ('{"a":-9223372036854775809}', "does not fit 64 bits"),
        ('{"a":' + "9" * 1000 + "}", r"integer 9+\.\.\.9+ does not fit 64 bits"),
        ('{"a":' + "9" * 1000 + ".0}", r"number 9+\.\.\.9+\.0 is out of bounds"),
        ('\ufeff{"a":1}', "is not JSON"),
        ('{"a":1}{', "is not JSON"),
        ('{"a":', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_hostile_records_are_refused(text, message):
    with pytest.raises(FormatError, match=message) as caught:
        load_record("record", text)
    assert len(str(caught.value)) < 300


WITH_ANY_SETTING = """
import sys
sys.set_int_max_str_digits(int(sys.argv[1]))
from lnx import ContentError, FormatError
from lnx.binary.json_record import dump_record, load_record
for work, value, error in (
    (load_record, '{"a":' + "9" * 700 + "}", FormatError),
    (load_record, '{"a":' + "9" * 4301 + "}", FormatError),
    (dump_record, {"a": 10**700}, ContentError),
    (dump_record, {"a": 10**5000}, ContentError),
):
    try:
        work("record", value) if work is load_record else work(value)
    except error as found:
        print(type(found).__name__)
"""


@pytest.mark.parametrize("digits", ["640", "0"])
def test_no_setting_of_the_interpreter_changes_the_answer(digits):
    done = subprocess.run(
        [sys.executable, "-c", WITH_ANY_SETTING, digits], env=ENVIRONMENT,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["FormatError"] * 2 + ["ContentError"] * 2


def test_records_are_the_same_text_for_equal_values():
    assert dump_record({"b": [1, None], "a": "ü"}) == '{"a":"ü","b":[1,null]}'


@pytest.mark.parametrize(
    "record",
    [
        {"x": math.nan}, {"x": object()}, {"x": {1, 2}}, {"x": 1 << 64}, {1: 2}, [1],
        {"x": "\ud800"}, {"\udfff": 1}, {"x": (1, 2)},
    ],
)  # fmt: skip
def test_records_hold_plain_values_only(record):
    with pytest.raises(ContentError, match="record"):
        dump_record(record)
