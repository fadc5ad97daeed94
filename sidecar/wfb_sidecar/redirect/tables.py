"""Telling netfilter: which of its programs works here, the rules at once, and a look whether they are in place."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from wfb_sidecar.redirect.rules import CHAIN, GUARD, Settings, jumps, rules

SECONDS = 10.0
WAIT = "5"
"""Seconds to wait for the lock of another program that changes tables."""


class RedirectError(Exception):
    """The rules are not in place; one line with the way out."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One flavour of the programs for one version of IP."""

    program: str
    version: int

    @property
    def restore(self) -> str:
        """The program that reads whole tables."""
        return f"{self.program}-restore"


FLAVOURS = {4: ("iptables-nft", "iptables-legacy", "iptables"), 6: ("ip6tables-nft", "ip6tables-legacy", "ip6tables")}
"""nft first, as every distribution of today has it; legacy where the kernel knows nothing else."""


def backend(version: int) -> Backend:
    """The flavour that works here; raises RedirectError with what each said."""
    said = []
    for program in FLAVOURS[version]:
        if shutil.which(program) is None:
            continue
        why = _try([program, "-w", WAIT, "-t", "nat", "-S", "OUTPUT"])
        if not why:
            return Backend(program, version)
        said.append(f"{program}: {why}")
    if not said:
        raise RedirectError(f"there is no program for IPv{version} rules: install the package iptables in the image")
    raise RedirectError(
        f"IPv{version} rules cannot be read ({'; '.join(said)}): the container needs the capabilities NET_ADMIN and"
        " NET_RAW; where they are forbidden use aifinops.dev/mode=proxy-env"
    )


def ipv6_is_on() -> bool:
    """Whether the pod has IPv6 at all: without it there is nothing to redirect."""
    try:
        with open("/proc/net/if_inet6", encoding="ascii") as file:
            return bool(file.read().strip())
    except OSError:
        return False


def install(settings: Settings) -> list[str]:
    """Puts the rules in place for IPv4, and for IPv6 where the pod has it; returns what was done, a line each.

    Raises RedirectError. A second time the chains are filled anew, and nothing is doubled.
    """
    done = []
    for version in (4, 6) if ipv6_is_on() else (4,):
        found = backend(version)
        if why := _try([found.restore, "--noflush", "-w", WAIT], rules(settings, version)):
            raise RedirectError(f"{found.restore} did not take the rules: {why}")
        for table, chain, ours in jumps():
            command = [found.program, "-w", WAIT, "-t", table]
            there = not _try([*command, "-C", chain, "-j", ours])
            if not there and (why := _try([*command, "-I", chain, "1", "-j", ours])):
                raise RedirectError(f"{found.program}: {table} {chain}: {why}")
        _look(found, settings)
        done.append(f"IPv{version} by {found.program}")
    if not ipv6_is_on():
        done.append("no IPv6 here")
    return done


def _look(found: Backend, settings: Settings) -> None:
    """Raises RedirectError unless every rule is where it should be."""
    for table, chain, ours in jumps():
        if _try([found.program, "-w", WAIT, "-t", table, "-C", chain, "-j", ours]):
            raise RedirectError(f"{found.program}: {table} {chain} does not lead to {ours}, though it was told to")
    listed = _read([found.program, "-w", WAIT, "-t", "nat", "-S", CHAIN])
    guarded = _read([found.program, "-w", WAIT, "-t", "filter", "-S", GUARD])
    wanted = rules(settings, found.version).count("-j REDIRECT")
    if listed.count(f"--to-ports {settings.to_port}") != wanted or guarded.count("-j REJECT") != wanted:
        raise RedirectError(f"{found.program} shows other rules than it was told: {listed} {guarded}")


def _try(command: Sequence[str], text: str | None = None) -> str:
    """Empty where a command succeeds, else what it said."""
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, timeout=SECONDS, env=_environment()
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    return " ".join((done.stderr or done.stdout).split())[:300] or f"status {done.returncode}"


def _read(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS, env=_environment())
    return done.stdout


def _environment() -> dict[str, str]:
    # The root file system is read-only: the lock of legacy iptables goes where a container may write.
    return {**os.environ, "XTABLES_LOCKFILE": os.environ.get("XTABLES_LOCKFILE", "/dev/shm/xtables.lock")}  # noqa: S108
