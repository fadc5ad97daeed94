"""Who may open the page: whoever has the secret of its address, on this machine, under the loopback's own name."""

import aiohttp
import pytest

from wfb_operator.page.files import NAMES
from wfb_operator.page.server import COOKIE, PageServer

BOOKS = {"usage": {"usage": []}}


@pytest.fixture
async def server():
    """One over books that hold nothing, and the queries that reached them."""
    asked = []

    def read(resource, query):
        asked.append((resource, dict(query)))
        return 200, BOOKS.get(resource, {})

    found = PageServer(read, "a test")
    url = await found.start()
    yield found, url, asked
    await found.stop()


def parted(url):
    """(address, secret)."""
    address, _, secret = url.partition("/?secret=")
    return address, secret


async def test_the_printed_address_opens_it(server):
    """The secret becomes a cookie that no script reads and no other site sends, and leaves the address."""
    _, url, asked = server
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.get(url) as answer:
            assert answer.status == 200
            assert str(answer.url) == parted(url)[0] + "/"
            (first,) = answer.history
            assert "HttpOnly" in first.headers["set-cookie"]
            assert "SameSite=Strict" in first.headers["set-cookie"]
        for name in NAMES:
            async with session.get(f"{parted(url)[0]}/{name}") as answer:
                assert answer.status == 200
                assert answer.headers["x-content-type-options"] == "nosniff"
        async with session.get(f"{parted(url)[0]}/api/usage?by=team&secret=x") as answer:
            assert await answer.json() == {"usage": []}
    assert asked == [("usage", {"by": "team"})]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 403),
        ("/api/usage", {}, 403),
        ("/api/usage?secret={secret}", {}, 403),
        ("/?secret=wrong", {}, 403),
        ("/api/usage", {"cookie": f"{COOKIE}=wrong"}, 403),
        ("/", {"host": "evil.example:80", "cookie": f"{COOKIE}={{secret}}"}, 421),
        ("/api/budgets", {"cookie": f"{COOKIE}={{secret}}"}, 404),
        ("/../server.py", {"cookie": f"{COOKIE}={{secret}}"}, 404),
        ("/api/usage", {"cookie": f"{COOKIE}={{secret}}"}, 200),
    ],
)
async def test_nobody_else_does(server, path, headers, status):
    """Without the secret, with another, under another name (DNS rebinding), or for what the page does not read."""
    _, url, _ = server
    address, secret = parted(url)
    headers = {name: value.format(secret=secret) for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.get(address + path.format(secret=secret), headers=headers) as answer,
    ):
        assert answer.status == status


async def test_only_this_machine_is_listened_to(server):
    """The socket is the loopback's."""
    found, _, _ = server
    assert [host for host, *_ in found._runner.addresses] == ["127.0.0.1"]
