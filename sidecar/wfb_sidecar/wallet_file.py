"""The wallet's record in a small memory-mapped file: it outlives the process, not the pod.

Two slots are written in turn, each with a sequence and a checksum, so a kill in the middle of a write leaves the other
one whole. No fsync: the pages belong to the kernel and survive every end of the process. A save is therefore no more than a
copy in memory, which a disk that stalls does not hold up, and needs no thread beside the event loop. The file has room
for both slots from the start: where a disk is full, writing to a page without room would end the process.
"""

import json
import mmap
import os
import struct
import zlib

from wfb_core.grants import Record

_HEAD = struct.Struct("<4sIQI")  # magic, length, sequence, crc32 of the payload
_MAGIC = b"WFB1"
_JSON = json.JSONEncoder(separators=(",", ":"))
_SLOT = 256 * 1024


class WalletFileDamagedError(ValueError):
    """Neither slot can be read: what was spent is not known, so the wallet must not begin anew in silence."""


class WalletFile:
    """Keeps the newest Record; `save` is called before a call leaves and before a cut is told."""

    def __init__(self, path: str) -> None:
        """Opens or creates the file; raises OSError where the folder cannot be written or has no room for it."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _fill(fd, path)
            self._map = mmap.mmap(fd, 2 * _SLOT)
        finally:
            os.close(fd)
        self.path = path
        slots = [s for s in (self._read(0), self._read(1)) if s is not None]
        self._sequence, self._kept = max(slots, key=lambda s: s[0]) if slots else (0, b"")
        if not slots and any(self._map[i * _SLOT : i * _SLOT + 4] != b"\0\0\0\0" for i in (0, 1)):
            raise WalletFileDamagedError(
                f"{path} is damaged: what this holder spent is not known; release the holder and delete the file"
            )

    def load(self) -> Record | None:
        """The record that was kept, or None in a new file."""
        if not self._kept:
            return None
        doc = json.loads(self._kept)
        return Record(doc["holder"], doc["epoch"], doc["seq"], {w: (c, u, h) for w, (c, u, h) in doc["purses"].items()})

    def save(self, record: Record) -> None:
        """Writes a record into the older slot."""
        payload = _JSON.encode(
            {"holder": record.holder, "epoch": record.epoch, "seq": record.seq, "purses": record.purses}
        ).encode()
        if _HEAD.size + len(payload) > _SLOT:
            raise ValueError(f"the wallet's record has {len(payload)} bytes: too many windows at once")
        self._sequence += 1
        at = (self._sequence % 2) * _SLOT
        self._map[at + _HEAD.size : at + _HEAD.size + len(payload)] = payload
        self._map[at : at + _HEAD.size] = _HEAD.pack(_MAGIC, len(payload), self._sequence, zlib.crc32(payload))

    def close(self) -> None:
        """Unmaps the file; it stays on disk."""
        self._map.close()

    def _read(self, slot: int) -> tuple[int, bytes] | None:
        at = slot * _SLOT
        magic, length, sequence, crc = _HEAD.unpack_from(self._map, at)
        if magic != _MAGIC or length > _SLOT - _HEAD.size:
            return None
        payload = self._map[at + _HEAD.size : at + _HEAD.size + length]
        return (sequence, payload) if zlib.crc32(payload) == crc else None


def _fill(fd: int, path: str) -> None:
    """Writes zeros up to the file's whole size: unlike a hole, they have their place on the disk."""
    missing = bytes(max(0, 2 * _SLOT - os.lseek(fd, 0, os.SEEK_END)))
    try:
        while missing:
            missing = missing[os.write(fd, missing) :]
    except OSError as e:
        e.filename = path  # the system names none
        raise
