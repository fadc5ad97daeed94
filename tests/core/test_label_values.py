"""Label values: whatever a caller sends becomes one short line, and at most so many of them."""

import pytest

from wfb_core.label_values import LONGEST, OTHER, Bounds, plain

HOSTILE = {
    "plain": ("triage", "triage"),
    "quotes stay, the format escapes them": ('a"b\\c', 'a"b\\c'),
    "script tags stay, pages escape them": ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    "a line end": ("a\nb", "a\ufffdb"),
    "a Unicode line end": ("a\u2028b\u2029", "a\ufffdb\ufffd"),
    "a direction mark": ("a\u202eb", "a\ufffdb"),
    "right-to-left letters stay": ("שלום", "שלום"),
    "half a character": ("a\ud800", "a\ufffd"),
    "a zero byte": ("\0", "\ufffd"),
    "an emoji": ("🚀", "🚀"),
    "a megabyte": ("x" * 1_000_000, "x" * (LONGEST - 1) + "…"),
}


@pytest.mark.parametrize(("text", "shown"), HOSTILE.values(), ids=HOSTILE)
def test_any_text_becomes_one_short_line(text, shown):
    """What is shown can be written in UTF-8, has no line end, and is short."""
    assert plain(text) == shown
    assert len(plain(text).encode().splitlines()) <= 1
    assert len(plain(text)) <= LONGEST


def test_values_past_the_number_are_others():
    """The first come first; those that were known stay so, and each label has a number of its own."""
    bounds = Bounds({"model": 2}, default=1)
    assert [bounds.value("model", m) for m in ("a", "b", "c", "a", "d")] == ["a", "b", OTHER, "a", OTHER]
    assert [bounds.value("team", t) for t in ("a", "b")] == ["a", OTHER]


def test_what_must_not_take_a_place_takes_none():
    """A text that is not new by right is another's, until it has a place."""
    bounds = Bounds({}, default=1)
    assert bounds.value("model", "made-up", new=False) == OTHER
    assert bounds.value("model", "gpt") == "gpt"
    assert bounds.value("model", "gpt", new=False) == "gpt"


def test_nothing_stays_nothing():
    """An empty value takes no place: it is no label to Prometheus."""
    bounds = Bounds({}, default=1)
    assert [bounds.value("team", ""), bounds.value("team", "a"), bounds.value("team", "")] == ["", "a", ""]


def test_memory_does_not_grow_with_what_is_sent():
    """A thousand long texts are kept as no more than the number allows."""
    bounds = Bounds({}, default=3)
    for n in range(1000):
        bounds.value("model", f"{n}" + "x" * 10_000)
    assert sum(len(known) for known in bounds._known.values()) == 3
