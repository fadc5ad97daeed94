"""The rules, as iptables-restore reads them: pure text from settings.

Order, as Istio's and Linkerd's redirection has proved it: what the sidecar itself sends returns first, or it would loop;
then what ztunnel has marked, the loopback, the API server and what the user excludes; the rest of the ports is redirected.
UDP to the same ports is rejected, not dropped: a client that tries HTTP/3 falls back to TCP at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

CHAIN, GUARD = "WFB_OUTPUT", "WFB_GUARD"
ZTUNNEL_MARK = "0x539/0xfff"
"""Istio ambient's own traffic (istio/ztunnel, ``SO_MARK`` 1337)."""


class SettingsError(ValueError):
    """A setting means nothing; one line that names it and the way out."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is redirected where."""

    to_port: int
    uid: int
    """Of the sidecar, as user and as group."""
    ports: tuple[int, ...] = (443,)
    exclude_ports: tuple[int, ...] = ()
    exclude_cidrs: tuple[str, ...] = ()
    api_server: str = ""
    """The API server's address, which everything in a pod may always reach itself; empty for none."""

    def __post_init__(self) -> None:
        for port in (self.to_port, *self.ports, *self.exclude_ports):
            if not 0 < port < 65536:
                raise SettingsError(f"{port} is not a port: write a number from 1 to 65535")
        for cidr in self.exclude_cidrs:
            try:
                ip_network(cidr, strict=False)
            except ValueError as error:
                raise SettingsError(f"{cidr!r} is not a network: write such as 10.0.0.0/8") from error


def rules(settings: Settings, version: int) -> str:
    """The input of iptables-restore (``version`` 4) or ip6tables-restore (6), for use with ``--noflush``.

    Chains of ours are made or emptied; that they are jumped to is `jumps`, which must not be repeated.
    """
    local = "127.0.0.0/8" if version == 4 else "::1/128"
    lines = ["*nat", f":{CHAIN} - [0:0]"]
    lines += [f"-A {CHAIN} {match} -j RETURN" for match in _passing(settings, version)]
    lines += [f"-A {CHAIN} -o lo -j RETURN", f"-A {CHAIN} -d {local} -j RETURN"]
    lines += [
        f"-A {CHAIN} -p tcp --dport {port} -j REDIRECT --to-ports {settings.to_port}" for port in _redirected(settings)
    ]
    lines += ["COMMIT", "*filter", f":{GUARD} - [0:0]"]
    lines += [f"-A {GUARD} {match} -j RETURN" for match in _passing(settings, version)]
    lines += [f"-A {GUARD} -o lo -j RETURN"]
    reject = "icmp-port-unreachable" if version == 4 else "icmp6-port-unreachable"
    lines += [f"-A {GUARD} -p udp --dport {port} -j REJECT --reject-with {reject}" for port in _redirected(settings)]
    return "\n".join([*lines, "COMMIT", ""])


def jumps() -> tuple[tuple[str, str, str], ...]:
    """(table, chain, our chain): what leaves the pod passes our chains first of all."""
    return ("nat", "OUTPUT", CHAIN), ("filter", "OUTPUT", GUARD)


def _passing(settings: Settings, version: int) -> list[str]:
    """Matches of what is nobody's to redirect."""
    found = [
        f"-m owner --uid-owner {settings.uid}",
        f"-m owner --gid-owner {settings.uid}",
        f"-m mark --mark {ZTUNNEL_MARK}",
    ]
    if settings.api_server and ip_address(settings.api_server).version == version:
        found.append(f"-d {settings.api_server}")
    found += [f"-d {cidr}" for cidr in settings.exclude_cidrs if ip_network(cidr, strict=False).version == version]
    return found


def _redirected(settings: Settings) -> Sequence[int]:
    return [port for port in settings.ports if port not in settings.exclude_ports]
