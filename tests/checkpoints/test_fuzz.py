"""A little of what fuzz.py does for longer: good files, damaged in a few places."""

import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoints import fuzz

PICKLES = fuzz.seeds("pdparams")
TEXTS = [text.decode() for text in fuzz.seeds("description")]
CODES = bytes(fuzz.instructions())

damage = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),  # where
        st.integers(0, 4),  # how many bytes go
        st.one_of(st.binary(max_size=4), st.lists(st.sampled_from(CODES), max_size=4).map(bytes)),  # what comes
    ),
    max_size=6,
)


@given(st.sampled_from(PICKLES), damage)
def test_damaged_pickles(data, places):
    for where, gone, come in places:
        at = int(where * len(data))
        data = data[:at] + come + data[at + gone :]
    fuzz.pdparams(data)


@given(st.lists(st.sampled_from(CODES) | st.integers(0, 255), max_size=40))
def test_pickles_of_nothing_but_instructions(codes):
    fuzz.pdparams(b"\x04" + bytes(codes))


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["PPMatting", "HRNet", "os.system", "\x1b[31m", "9" * 5000]),
    st.lists(st.integers(-1, 3), max_size=6),
    st.dictionaries(st.sampled_from(["class", "arguments", "handmade"]), st.text(max_size=5)),
)


def places(value, path=()):
    """Every place in a description."""
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


@settings(max_examples=25)  # each can build a network
@given(st.data(), st.sampled_from(TEXTS))
def test_descriptions_with_something_odd(data, text):
    description = json.loads(text)
    *above, last = data.draw(st.sampled_from([place for place in places(description) if place]))
    inside = description
    for key in above:
        inside = inside[key]
    inside[last] = data.draw(ODD)
    fuzz.description(json.dumps(description).encode())


@given(st.sampled_from(TEXTS), damage)
def test_descriptions_that_are_damaged(text, places):
    data = text.encode()
    for where, gone, come in places:
        at = int(where * len(data))
        data = data[:at] + come + data[at + gone :]
    fuzz.description(data)


def test_other_errors_are_found(monkeypatch):
    """As those of Python's own reader."""
    monkeypatch.setattr(fuzz, "parse_pdparams", lambda data, _: pickle.loads(data))
    with pytest.raises(EOFError):
        fuzz.pdparams(b"\x04}")
