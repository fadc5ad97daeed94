"""The host table as this sidecar uses it: with its configuration's endpoints, and the names its authority may speak for."""

from dataclasses import replace

from wfb_core.dialects import DIALECTS, Dialect
from wfb_core.host_table import load_hosts
from wfb_core.hosts import MADE, WHOLE, HostRow, Hosts
from wfb_sidecar.config import Config


def provider_hosts(config: Config) -> Hosts:
    """The table with own hosts, own endpoints and stated billing of cut streams.

    Raises ValueError for an unknown provider
    or a table of hosts that cannot be read.
    """
    hosts = load_hosts(config.hosts)
    stated = config.bills_cut_streams_whole
    for provider in stated:
        if provider not in {row.provider for row in hosts.rows}:
            raise ValueError(f"bills_cut_streams_whole: {provider!r} is no provider of the host table")
    hosts = Hosts((_billing(row, stated.get(row.provider)) for row in hosts.rows), hosts.own)
    for e in config.endpoints:
        own, *rest = hosts.with_endpoint(e.endpoint, e.provider).rows
        whole = stated.get(e.provider) if e.bills_cut_streams_whole is None else e.bills_cut_streams_whole
        hosts = Hosts((_billing(own, whole), *rest), hosts.own)
    return hosts


def _billing(row: HostRow, whole: bool | None) -> HostRow:
    if whole is None:
        return row
    return replace(row, cut_streams=WHOLE if whole else MADE, cut_streams_source="configuration")


def find(hosts: Hosts, host: str, port: int) -> HostRow | None:
    """The row of a destination."""
    return hosts.find(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def constraint_names(hosts: Hosts) -> tuple[str, ...]:
    """DNS names (each allows what is below it) and addresses for the authority's name constraints."""
    names = []
    for row in hosts.rows:
        name = row.pattern.removeprefix("*.")
        if "*" in name:  # a constraint is a name and all below it: what follows the label with the last asterisk
            name = name.rpartition("*")[2].partition(".")[2]
        head, colon, port = name.rpartition(":")
        names.append((head if colon and port.isdigit() else name).strip("[]"))
    return tuple(dict.fromkeys(names))


def refusal_dialect(row: HostRow) -> Dialect:
    """The dialect in which a call is refused that no dialect has read: the host's first."""
    return DIALECTS.get(row.first_dialect or "", DIALECTS["openai-chat"])
