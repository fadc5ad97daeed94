"""One request to a provider, read as far as every shape needs it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from typing import Any

from simulator.refused import Refused


@dataclass(frozen=True, slots=True)
class Asked:
    """What arrived: who is asked, for what."""

    provider: str
    """Who bills."""
    method: str
    path: str
    """Without the query."""
    names: tuple[str, ...]
    """The segments that the route leaves open, decoded."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: dict[str, Any]
    """The JSON object; of a form its fields, files as bytes."""

    @property
    def action(self) -> str:
        """What the path ends with after its last colon or slash: ``converse``, ``generateContent``."""
        return self.path.rpartition("/")[2].rpartition(":")[2]


def read_body(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The body as an object, from JSON or from a form; refuses anything else with 400."""
    if headers.get("content-type", "").startswith("multipart/form-data"):
        return _form(headers["content-type"], body)
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise Refused(400, "We could not parse the JSON body of your request. Send a JSON object.")
    return said


def _form(content_type: str, body: bytes) -> dict[str, Any]:
    whole: Message[str, str] = BytesParser().parsebytes(f"content-type: {content_type}\r\n\r\n".encode() + body)
    fields: dict[str, Any] = {}
    if not whole.is_multipart():
        raise Refused(400, "We could not parse the form in the body of your request.")
    for part in whole.get_payload():
        assert isinstance(part, Message)
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        fields[str(name)] = data if part.get_filename() is not None else data.decode("utf-8", "replace")
    return fields
