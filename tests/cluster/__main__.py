"""``python tests/cluster up|down``: a cluster that stays until it is ended; what ``make cluster`` and its kin run."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cluster import binaries, images, own
from cluster.refusals import NotHereError, NotReadyError

STATE = binaries.cache() / "running"


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def up(tell: binaries.Tell = _tell) -> own.Own:
    """The cluster that runs already, or a new one, with the images of this checkout."""
    cluster = own.attach(STATE) or own.start(STATE, tell)
    loaded = STATE / "loaded"
    known = loaded.read_text().splitlines() if loaded.exists() else []
    # An archive's path names what it is made of.
    if new := [path for path in images.archives(tell) if str(path) not in known]:
        tell("loading the images")
        cluster.load(new)
        loaded.write_text("".join(f"{line}\n" for line in [*known, *map(str, new)]))
    return cluster


def down() -> None:
    """Ends it; nothing is left of it but the cache."""
    running = own.attach(STATE)
    if running:
        running.close()
    _tell("the cluster is gone" if running else "no cluster runs")


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser("cluster", description="A real Kubernetes of plain processes on this machine.")
    parser.add_argument("what", choices=("up", "down"), help="start it, or end it")
    arguments = parser.parse_args()
    try:
        if arguments.what == "down":
            down()
        else:
            print(f"export KUBECONFIG={up().kubeconfig}")
    except (NotHereError, NotReadyError) as why:
        _tell(str(why))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
