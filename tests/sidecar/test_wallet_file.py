"""The wallet's file holds a whole record whenever its process ends."""

import os
import subprocess
import sys
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_core.grants import Record
from wfb_sidecar.wallet_file import WalletFile, WalletFileDamagedError

AMOUNT = st.integers(0, 2**60)
RECORDS = st.builds(
    Record,
    st.text(min_size=1, max_size=20),
    st.integers(0, 9),
    st.integers(0, 10**6),
    st.dictionaries(st.text(min_size=1, max_size=40), st.tuples(AMOUNT, AMOUNT, AMOUNT), max_size=5),
)


class Killed(Exception):  # noqa: N818
    """The process ended here."""


class KilledMap:
    """A memory map whose process is killed in the middle of its writes."""

    def __init__(self, inner, after):
        self.inner = inner
        self.left = after

    def __setitem__(self, key, value):
        room = min(self.left, len(value))
        self.inner[key.start : key.start + room] = value[:room]
        self.left -= room
        if room < len(value):
            raise Killed

    def __getitem__(self, key):
        return self.inner[key]

    def close(self):
        """Unmaps."""
        self.inner.close()


@settings(max_examples=150, deadline=None)
@given(st.lists(RECORDS, min_size=1, max_size=6), RECORDS, st.integers(0, 700))
def test_a_kill_in_the_middle_of_a_write_leaves_a_whole_record(saved, torn, after):
    """Whatever byte was the last one written, the record before it or the new one is read back, never a mixture."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "wallet")
        file = WalletFile(path)
        for record in saved:
            file.save(record)
        file._map = KilledMap(file._map, after)
        try:
            file.save(torn)
        except Killed:
            allowed = [saved[-1], torn]  # the rest of the write may have been there already
        else:
            allowed = [torn]
        file.close()
        again = WalletFile(path)
        assert again.load() in allowed
        again.save(torn)
        again.close()
        last = WalletFile(path)
        assert last.load() == torn
        last.close()


def test_a_new_file_holds_nothing_and_is_its_owners_alone(tmp_path):
    """None, mode 0600, and the same when opened twice without a record."""
    path = tmp_path / "wallet"
    for _ in range(2):
        file = WalletFile(str(path))
        assert file.load() is None
        file.close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_two_damaged_slots_are_refused(tmp_path):
    """What was spent is not known: an error that names the file, never a fresh wallet."""
    path = tmp_path / "wallet"
    file = WalletFile(str(path))
    for seq in range(3):
        file.save(Record("h", 1, seq, {"w": (1, 2, 3)}))
    file.close()
    content = bytearray(path.read_bytes())
    for slot in (0, len(content) // 2):
        content[slot + 24] ^= 1
    path.write_bytes(content)
    with pytest.raises(WalletFileDamagedError, match="release the holder and delete the file") as caught:
        WalletFile(str(path))
    assert str(path) in str(caught.value)


def test_a_kill_in_the_very_first_write_is_damage(tmp_path):
    """A head without its payload is no new file: a call may have left already."""
    path = tmp_path / "wallet"
    file = WalletFile(str(path))
    file.save(Record("h", 1, 1, {}))
    file.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 2 + 24 : len(content) // 2 + 30] = b"\0" * 6
    path.write_bytes(content)
    with pytest.raises(WalletFileDamagedError):
        WalletFile(str(path))


def test_a_record_too_large_for_its_slot_is_refused_before_it_harms_the_last(tmp_path):
    """The error says why, and the last record stays."""
    file = WalletFile(str(tmp_path / "wallet"))
    kept = Record("h", 1, 1, {"w": (1, 2, 3)})
    file.save(kept)
    with pytest.raises(ValueError, match="too many windows"):
        file.save(Record("h", 1, 2, {f"{'w' * 100}{i}": (1, 2, 3) for i in range(3000)}))
    file.close()
    again = WalletFile(str(tmp_path / "wallet"))
    assert again.load() == kept
    again.close()


class NoDisk:
    """A memory map that may not be written to its disk: one that stalls would hold up the whole event loop."""

    def __init__(self, inner):
        self.inner = inner

    def __setitem__(self, key, value):
        self.inner[key] = value

    def flush(self, *_):
        """Would wait for the disk."""
        raise AssertionError("a save waits for the disk")


def test_no_save_waits_for_the_disk(tmp_path, monkeypatch):
    """Nothing is flushed or synced, and the record is there for whoever opens the file while its pages are the kernel's."""
    for name in ("fsync", "fdatasync", "sync"):
        monkeypatch.setattr(os, name, lambda *_, name=name: pytest.fail(f"a save calls {name}"))
    file = WalletFile(str(tmp_path / "wallet"))
    file._map = NoDisk(file._map)
    for seq in range(4):
        record = Record("h", 1, seq, {"w": (1, 2, 3)})
        file.save(record)
        again = WalletFile(str(tmp_path / "wallet"))
        assert again.load() == record
        again.close()


def test_the_file_has_its_room_from_the_start(tmp_path):
    """Every page has its place on the disk before the first save, and after a start that was cut short too."""
    path = tmp_path / "wallet"
    for begun in (b"", b"\0" * 5_000):
        path.write_bytes(begun)
        WalletFile(str(path)).close()
        size = path.stat().st_size
        assert size == 512 * 1024
        assert path.read_bytes() == bytes(size)
        with path.open("rb") as file:
            assert os.lseek(file.fileno(), 0, os.SEEK_HOLE) == size


def test_without_room_the_file_is_not_opened(tmp_path):
    """The error names the file; a later start with room begins where this one ended."""
    path = tmp_path / "wallet"
    code = (
        "import resource, signal, sys\n"
        "from wfb_sidecar.wallet_file import WalletFile\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n    WalletFile(sys.argv[1])\n"
        "except OSError as e:\n    print(e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert str(path) in done.stdout
    file = WalletFile(str(path))
    assert file.load() is None
    file.close()
