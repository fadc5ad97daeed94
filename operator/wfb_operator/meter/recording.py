"""Opening a recording, whatever kind of file it is: bytes in, exchanges out."""

from collections.abc import Iterator

from wfb_operator.meter import har
from wfb_operator.meter.exchange import Exchange, NotReadableError


def opened(data: bytes) -> tuple[Iterator[Exchange], int | None]:
    """(the exchanges of a recording in order, how many they are where that is known before they are read).

    Raises NotReadableError where the file is no recording, or needs something that is not installed.
    """
    if not looks_like_flows(data):
        entries = har.entries_of(data)
        return har.exchanges(entries), len(entries)
    try:
        from wfb_operator.meter import flow  # noqa: PLC0415 — mitmproxy is an extra, and slow to load
    except ImportError as e:
        raise NotReadableError(
            "it is a mitmproxy flow file, and mitmproxy is not installed:"
            " install workflow-budget-operator[sidecar], or export the flows as HAR"
        ) from e
    return flow.exchanges(data), None


def looks_like_flows(data: bytes) -> bool:
    """Whether a file begins as mitmproxy writes: a length and a colon."""
    head, colon, _ = data[:16].partition(b":")
    return bool(colon) and head.isdigit()
