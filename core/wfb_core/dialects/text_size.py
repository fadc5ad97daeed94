"""How many bytes a byte-level tokenizer can see in a text: no text makes more tokens than that.

Some tokenizers normalise first (NFKC), which can lengthen a text (U+FDFA becomes 33 bytes) or shorten it, so the larger
of both counts. Linear in the text's length also for strings made to be slow: sorting the marks of one long run takes
quadratic time in the standard library, so text is normalised in short pieces that normalisation never joins.
"""

import unicodedata

PIECE = 256
"""Characters after which a piece ends at the next safe place."""
LONGEST = 4 * PIECE
"""A piece without a safe place is not normalised beyond this; it counts at its full decomposition, never less."""


def text_bytes(text: str) -> int:
    """The larger of a text's UTF-8 length and the UTF-8 length of its NFKC form; unpaired surrogates count three."""
    if text.isascii():
        return len(text)
    if len(text) <= LONGEST:
        return max(_utf8(text), _utf8(unicodedata.normalize("NFKC", text)))
    return max(_utf8(text), sum(map(_normalised, _pieces(text))))


def _utf8(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _pieces(text: str) -> "list[str]":
    pieces, start, size = [], 0, len(text)
    while start < size:
        end = min(start + PIECE, size)
        while end < size and not starts_piece(text[end]):
            end += 1
        pieces.append(text[start:end])
        start = end
    return pieces


def _normalised(piece: str) -> int:
    if len(piece) <= LONGEST:
        return _utf8(unicodedata.normalize("NFKC", piece))
    return sum(_utf8(unicodedata.normalize("NFKD", character)) for character in piece)


def starts_piece(character: str) -> bool:
    """Whether normalisation never joins or reorders this character with what stands before it.

    False for marks, for the vowels and finals of Hangul syllables and, to be safe, for all beyond the first plane.
    """
    if character < "\x80":
        return True
    if character > "\uffff":
        return False
    first = unicodedata.normalize("NFKD", character)[0]
    return not ("\u1160" <= first <= "\u11ff") and unicodedata.category(first)[0] != "M"
