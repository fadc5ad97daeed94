"""The page in a real browser: it draws, light and dark, and asks nobody for anything."""

import struct
import subprocess
import zlib

import pytest

from harness.programs import CHROMIUM, program
from harness.store_books import StoreBooks, usage_row
from wfb_operator.showback.books import Question
from wfb_operator.showback.gather import statement
from wfb_operator.showback.page import page

MINUTE = 29_999_520
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1000,900",
]


def pixels(path):
    """The colours of a PNG of eight bits, by their numbers; no filter is undone but by the rows' first bytes."""
    data = path.read_bytes()
    at, parts, colours = 8, b"", 3
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"IHDR":
            width, _, _, colour = struct.unpack(">IIBB", data[at + 8 : at + 18])
            colours = {2: 3, 6: 4}[colour]
        if kind == b"IDAT":
            parts += data[at + 8 : at + 8 + length]
        at += 12 + length
    raw, stride = zlib.decompress(parts), width * colours
    first = bytearray(raw[1 : 1 + stride])
    for n in range(colours, stride):  # the first row, whose filter is none or the difference to the left
        if raw[0] == 1:
            first[n] = (first[n] + first[n - colours]) % 256
    return len(set(raw)), tuple(first[:3])


@pytest.mark.slow
def test_the_page_draws_light_and_dark(tmp_path):
    """The ground follows the reader's setting, and something is drawn on it; the policy lets nothing be loaded."""
    chromium = program(*CHROMIUM, package="chromium")
    (tmp_path / "books").mkdir()
    books = StoreBooks(tmp_path / "books")
    books.write(dict(usage_row(MINUTE + n * 60, team=f"t{n % 3}", nanos=10**9) for n in range(24)))
    question = Question(MINUTE * 60, (MINUTE + 1440) * 60, {})
    file = tmp_path / "page.html"
    file.write_text(page(statement(books, question, ("team", "model")), [], "none", 0.0), encoding="utf-8")
    grounds = {}
    for name, more in (("light", ()), ("dark", ("--blink-settings=preferredColorScheme=0",))):
        shot = tmp_path / f"{name}.png"
        done = subprocess.run(
            [chromium, *FLAGS, *more, f"--user-data-dir={tmp_path / name}", f"--screenshot={shot}", file.as_uri()],
            check=False, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert shot.exists(), done.stderr[-500:]
        kinds, grounds[name] = pixels(shot)
        assert kinds > 50
        assert "Refused to" not in done.stderr
    assert min(grounds["light"]) > 240
    assert max(grounds["dark"]) < 40
