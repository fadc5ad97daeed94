"""What each dialect offers the provider: how it reads a request, and the words it answers in."""

from collections.abc import Iterator
from typing import Any

from simulator import framing
from simulator.answer import Answer, Ask
from simulator.asked import Asked
from simulator.refused import Refused

Headers = tuple[tuple[str, str], ...]


class Shape:
    """One dialect; the defaults suit most."""

    id_prefix = ""
    request_id_header = "x-request-id"

    def told_in_metadata(self, body: dict[str, Any]) -> str:
        """The behaviour that the request's metadata asks for."""
        metadata = body.get("metadata")
        said = metadata.get("sim") if isinstance(metadata, dict) else None
        return said if isinstance(said, str) else ""

    def read(self, asked: Asked) -> Ask:
        """What the request asks; raises Refused."""
        raise NotImplementedError

    def whole(self, answer: Answer) -> bytes:
        """The unary body."""
        raise NotImplementedError

    def content_type(self, answer: Answer) -> str:
        """The type of the unary body."""
        return "application/json"

    def headers(self, answer: Answer) -> Headers:
        """Headers that a good answer has of its own."""
        return ()

    def frames(self, answer: Answer) -> Iterator[tuple[bytes, int]]:
        """The stream's frames, each with the tokens it shows."""
        raise NotImplementedError

    def stream_type(self, answer: Answer) -> str:
        """The framing of the stream, one of framing's."""
        return framing.SSE

    def broken_frame(self, answer: Answer) -> bytes:
        """A frame that cannot be read."""
        return framing.BROKEN[self.stream_type(answer)]

    def failed_frame(self, answer: Answer, refused: Refused) -> bytes:
        """The frame that says, in the middle of a stream begun with 200, that the provider failed."""
        return b"data: " + self.error(refused, f"req_{answer.id}") + b"\n\n"

    def polls(self, answer: Answer) -> list[bytes]:
        """What later requests for this answer are given, one after the other; the last one stays. None is kept."""
        return []

    def error(self, refused: Refused, request_id: str) -> bytes:
        """The body of an error answer."""
        raise NotImplementedError

    def error_headers(self, refused: Refused) -> Headers:
        """Headers that an error has of its own."""
        return ()

    def too_long(self, tokens: int, most: int) -> Refused:
        """What the provider says of input beyond the context window."""
        return Refused(400, f"The input of {tokens} tokens is longer than the maximum of {most} tokens.")
