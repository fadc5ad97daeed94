"""``ledger.id``: a small file beside the database that outlives it, so that a lost or older copy is told from a new one."""

import json
import os
from dataclasses import dataclass

NAME = "ledger.id"


@dataclass(frozen=True, slots=True)
class Marker:
    """Which database lives here, and how many transactions it had at least."""

    database: str
    commits: int


def read_marker(directory: str) -> Marker | None:
    """The marker of a directory, None where there is none; raises ValueError where it cannot be read as one."""
    path = os.path.join(directory, NAME)
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        return Marker(str(found["database"]), int(found["commits"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be read ({type(error).__name__}: {error})") from error


def write_marker(directory: str, marker: Marker) -> None:
    """Replace the marker, on disk when this returns; raises OSError."""
    path, fresh = os.path.join(directory, NAME), os.path.join(directory, NAME + ".new")
    with open(fresh, "w", encoding="utf-8") as file:
        json.dump({"database": marker.database, "commits": marker.commits}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
    folder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
