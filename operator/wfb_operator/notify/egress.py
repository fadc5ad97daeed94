"""Where a notice may go: whoever may write a budget must not make the controller call what only the controller reaches.

By default https and addresses of the public internet only. Whoever installs may name hosts that are let through beside
that. The address that was looked at is the one that is connected to, and redirects are not followed.
"""

import fnmatch
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


class EgressRefusedError(Exception):
    """A notice may not go there; the message is one sentence, without the address's path, which may be a secret."""


@dataclass(frozen=True, slots=True)
class Egress:
    """What is let through."""

    allowed: tuple[str, ...] = ()
    """``host``, ``*.domain``, ``host:port``, with ``http://`` in front where plain HTTP is meant: may be private addresses."""
    own_machine: bool = False
    """The budget's author is the user of this machine: her own and private addresses are hers to name."""

    @classmethod
    def allowing(cls, entries: Iterable[str]) -> "Egress":
        """With these entries; raises ValueError for one that names no host."""
        kept = tuple(entry.strip() for entry in entries if entry.strip())
        for entry in kept:
            if not _entry(entry).hostname:
                raise ValueError(
                    f"{entry!r} names no host: write hooks.example.org, *.corp.example or http://10.1.2.3:8080"
                )
        return cls(kept)

    def check(self, url: str) -> None:
        """Whether an address may be called at all, before its name is resolved; raises EgressRefusedError."""
        parts = _split(url)
        where = shown(url)
        if parts.username is not None or parts.password is not None:
            raise EgressRefusedError(f"{where} has a user or password in it: sign notices with a Secret instead")
        if parts.scheme == "http" and not self._plain(parts):
            raise EgressRefusedError(f"{where} is not https: notices name budgets and amounts")
        try:
            literal = ipaddress.ip_address(parts.hostname or "")
        except ValueError:
            return
        self.check_address(url, literal)

    def check_address(self, url: str, address: Address | str) -> None:
        """Whether an address that the name stands for may be connected to; raises EgressRefusedError."""
        found = _unwrapped(ipaddress.ip_address(address) if isinstance(address, str) else address)
        parts = _split(url)
        if found.is_global and not found.is_multicast:
            return
        if (parts.hostname or "") in (str(address), str(found)) and self._match(parts):
            return  # named as it is by whoever installed
        inside = found.is_private and not (found.is_link_local or found.is_unspecified or found.is_reserved)
        if inside and self.own_machine:
            return
        if inside and not found.is_loopback and self._match(parts):
            return
        raise EgressRefusedError(
            f"{shown(url)} is the address {found}, which is not of the public internet: the operator's chart value"
            " notify.allow lets a host through"
        )

    def _plain(self, parts: SplitResult) -> bool:
        if self.own_machine and (parts.hostname in ("localhost", "::1") or (parts.hostname or "").startswith("127.")):
            return True
        return any(entry.startswith("http://") for entry in self._matching(parts))

    def _match(self, parts: SplitResult) -> bool:
        return bool(self._matching(parts))

    def _matching(self, parts: SplitResult) -> list[str]:
        host = (parts.hostname or "").lower()
        found = []
        for entry in self.allowed:
            wanted = _entry(entry)
            port = wanted.port
            if fnmatch.fnmatchcase(host, (wanted.hostname or "").lower()) and port in (None, _port(parts)):
                found.append(entry)
        return found


def shown(url: str) -> str:
    """As much of an address as may be told: scheme, host and port."""
    parts = _split(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise EgressRefusedError("the address cannot be read: write https:// and a host") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EgressRefusedError("the address has no host, or is not https: write https:// and a host")
    return parts


def _entry(entry: str) -> SplitResult:
    return urlsplit(entry if "://" in entry else f"https://{entry}")


def _port(parts: SplitResult) -> int:
    return parts.port or (80 if parts.scheme == "http" else 443)


def _unwrapped(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one that stands for it."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address.sixtofour:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
