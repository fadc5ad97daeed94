"""Builds a cluster's programs and images ahead of the tests, a line for each, so that nobody waits in silence.

Run: python tests/cluster/build.py [NAME …]; without names, what the tests ask for. What cannot be built is said, and
left to the tests to judge.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cluster import cert_manager, images, own
from cluster.binaries import API_SERVER, find_or_build
from cluster.refusals import NotHereError


def tell(line: str) -> None:
    """A line for the person who waits."""
    print(line, flush=True)


def main(names: list[str]) -> None:
    """Builds the programs of these names."""
    try:
        find_or_build(names or (*API_SERVER, "helm"), tell)
        if not names and not own.missing():
            find_or_build((*own.PROGRAMS, *cert_manager.PROGRAMS), tell)
            images.archives(tell)
    except NotHereError as why:
        print(f"no real Kubernetes here: {why}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
