"""Who is forgotten: pods, and the tokens put for them, that nobody has heard of for long."""

import sqlite3

HEARD = (
    "EXISTS (SELECT 1 FROM holders WHERE holders.id >= holder_prefix AND holders.id < holder_prefix || char(1114111)"
)
"""The beginning of a condition: some holder of the pod is known. Its names follow the prefix in the order of the index."""


def forget_silent(connection: sqlite3.Connection, before: float, most: int) -> None:
    """Delete identities of sidecars, and pods, that are older than a time and have no holder heard since; `most` of each.

    A pod that speaks again after that is looked up, and its labels frozen, anew.
    """
    for table, key, born in (("identities", "token_sha256", "put_at"), ("pods", "holder_prefix", "first_seen")):
        connection.execute(
            f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {born} < ?1 AND holder_prefix <> ''"  # noqa: S608 — names of our own columns
            f" AND NOT {HEARD} AND holders.seen >= ?1) LIMIT ?2)",
            (before, most),
        )
