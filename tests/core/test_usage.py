"""Usage: counts that cannot be true are never priced."""

from dataclasses import fields

import pytest

from wfb_core.usage import Guess, Usage

IMPOSSIBLE = [
    ({"input_tokens": -1}, "input_tokens is -1"),
    ({"output_tokens": 1.5}, "output_tokens is 1.5"),
    ({"output_tokens": True}, "output_tokens is True"),
    ({"input_tokens": "7"}, "input_tokens is '7'"),
    ({"reasoning_tokens": None}, "reasoning_tokens is None"),
    ({"output_tokens": 5, "reasoning_tokens": 6}, "reasoning_tokens 6 exceeds output_tokens 5"),
    ({"input_tokens": 9, "cache_write_tokens": 3, "cache_write_1h_tokens": 4}, "cache_write_1h_tokens 4 exceeds"),
    ({"input_tokens": 9, "cache_read_tokens": 10}, "cache_read_tokens 10 exceeds input_tokens 9"),
    ({"units": (("hours", 1),)}, "unit hours is 1"),
    ({"units": (("pages", -1),)}, "unit pages is -1"),
]


@pytest.mark.parametrize(("counts", "message"), IMPOSSIBLE)
def test_impossible_counts(counts, message):
    """A count that is negative, no whole number, or a class above its total is refused by name and value."""
    with pytest.raises(ValueError) as caught:
        Usage(**counts)
    assert message in str(caught.value)


@pytest.mark.parametrize("field", [f.name for f in fields(Usage)])
def test_every_count_is_checked(field):
    """No field escapes the check."""
    with pytest.raises(ValueError, match=field):
        Usage(**{field: -1})


def test_classes_may_fill_their_totals():
    """All input may come from a cache and all output be reasoning; nothing used is fine too."""
    full = Usage(10, 4, 6, 6, 8, 8)
    assert full.cache_read_tokens + full.cache_write_tokens == full.input_tokens
    assert Usage() == Usage(0, 0, 0, 0, 0, 0)


def test_a_guess_names_what_it_has_as_a_usage_does():
    """The same names with the same defaults, for text alone: no part is of another modality, and none is hidden."""
    defaults = {f.name: f.default for f in fields(Usage)}
    assert Guess()._asdict() == {name: defaults[name] for name in Guess._fields}
    assert not [name for name in Guess._fields if "audio" in name or "image" in name or "reasoning" in name]
