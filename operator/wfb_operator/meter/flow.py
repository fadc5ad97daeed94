"""Reading mitmproxy's flow files, as `mitmdump -w` writes them; loads mitmproxy."""

import io
from collections.abc import Iterator

from mitmproxy import exceptions, http
from mitmproxy.io import FlowReader

from wfb_operator.meter import reasons
from wfb_operator.meter.encodings import EncodingNotReadError, mended, plain
from wfb_operator.meter.exchange import Exchange, NotReadableError, known_time


def exchanges(data: bytes) -> Iterator[Exchange]:
    """One exchange for each HTTP flow, in order; what follows a damaged flow is lost.

    Raises NotReadableError where not one flow can be read.
    """
    count = 0
    try:
        for flow in FlowReader(io.BytesIO(data)).stream():
            count += 1
            if isinstance(flow, http.HTTPFlow):
                yield _exchange(flow)
    except (exceptions.FlowReadException, AttributeError, LookupError, TypeError, ValueError, RecursionError) as e:
        if not count:
            raise NotReadableError("it is no mitmproxy flow file that this version reads") from e
        yield Exchange(damage=reasons.ENTRY_DAMAGED)


def _exchange(flow: http.HTTPFlow) -> Exchange:
    request, response = flow.request, flow.response
    body, damage = b"", reasons.BODY_MISSING
    if response is not None and response.raw_content:
        try:
            body, damage = mended(plain(response.raw_content, response.headers.get("content-encoding", ""))), ""
        except EncodingNotReadError:
            damage = reasons.ENCODING_NOT_READ
    return Exchange(
        id=flow.id,
        at=known_time(request.timestamp_start),
        method=request.method.upper(),
        url=request.pretty_url,  # a transparent proxy knows only the address that a name led to
        request_headers=_headers(request.headers),
        request_body=_asked(request),
        status=response.status_code if response is not None else 0,
        headers=_headers(response.headers) if response is not None else {},
        body=body,
        messages=tuple((m.from_client, m.content) for m in flow.websocket.messages) if flow.websocket else None,
        damage=damage or None,
    )


def _asked(request: http.Request) -> bytes:
    try:
        return plain(request.raw_content or b"", request.headers.get("content-encoding", ""))
    except EncodingNotReadError:
        return b""


def _headers(headers: http.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}  # type: ignore[no-untyped-call]
