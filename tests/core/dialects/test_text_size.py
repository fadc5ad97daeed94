"""The bytes that a tokenizer can see in a text."""

import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_core.dialects.text_size import LONGEST, PIECE, _normalised, _pieces, starts_piece, text_bytes


def exact(text):
    """The definition, without regard to time."""
    forms = (text, unicodedata.normalize("NFKC", text))
    return max(len(form.encode("utf-8", "surrogatepass")) for form in forms)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", 0),
        ("abc", 3),
        ("Grüße", 7),
        ("你好", 6),
        ("🎉", 4),
        ("\ufdfa", 33),  # one character of 3 bytes that NFKC makes a phrase of
        ("\uff46\uff55\uff4c\uff4c", 12),  # NFKC shortens it: the longer form counts
        ("\ud800", 3),
    ],
)
def test_the_larger_of_both_forms_counts(text, size):
    """Neither normalising nor not normalising can make more bytes than are counted."""
    assert text_bytes(text) == size == exact(text)


MARKS = st.sampled_from("aé\u0301\u0323\u0344\u1100\u1161\u11a8가你\ufdfa\uff76\uff9e\u09c7\u09beB 7\U0001d15e\u212b")


@given(st.text(MARKS, max_size=200), st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_long_texts_count_the_same_in_pieces(seed, times):
    """Cutting a long text never changes its count where no run of marks is hostile."""
    text = ("word " + seed) * times * 8

    assert text_bytes(text) == exact(text)


def test_no_character_that_starts_a_piece_joins_what_stands_before_it():
    """Every pair that Unicode composes has a second part at which no piece begins."""
    seconds = set()
    for code in range(sys.maxunicode + 1):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            seconds.add(chr(int(parts[1], 16)))
    seconds |= {chr(c) for c in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}  # Hangul, composed by arithmetic

    assert [hex(ord(c)) for c in seconds if starts_piece(c)] == []
    marks = (chr(code) for code in range(sys.maxunicode + 1))
    assert [hex(ord(c)) for c in marks if unicodedata.combining(c) and starts_piece(c)] == []


def test_composing_never_lengthens():
    """Full decomposition is an upper bound for any composed form, so a hostile run may count at that."""
    for code in range(0x110000):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            apart = "".join(chr(int(part, 16)) for part in parts)
            assert len(chr(code).encode()) <= len(apart.encode())


def test_a_run_of_marks_made_to_be_slow_is_never_sorted():
    """Marks in descending order take quadratic time to normalise; a long run counts decomposed instead."""
    hostile = "a" + "\u0301\u0323" * (2 * LONGEST)
    pieces = _pieces(hostile)

    assert "".join(pieces) == hostile
    assert len(pieces) == 1
    assert _normalised(pieces[0]) == len(hostile.encode())
    assert text_bytes(hostile) >= exact(hostile)


def test_pieces_of_ordinary_text_are_short():
    """What is sorted at once stays short whatever the script."""
    for word in ("你好", "привет ", "naïve ", "한국어", "Ελλάδα"):
        assert max(map(len, _pieces(word * 2000))) <= PIECE + 8
