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


def up() -> own.Own:
    """The cluster that runs already, or a new one, images loaded."""
    if running := own.attach(STATE):
        return running
    cluster = own.start(STATE, _tell)
    _tell("loading the images")
    cluster.load(images.archives(_tell))
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
