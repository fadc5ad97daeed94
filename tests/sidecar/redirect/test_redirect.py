"""Redirection: the rules as text, and what real netfilter makes of them in a network namespace of its own."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from harness.namespaces import missing
from wfb_sidecar.redirect.listening import listens
from wfb_sidecar.redirect.rules import Settings, SettingsError, jumps, rules

HERE = pathlib.Path(__file__).parent
SETTINGS = Settings(64811, 64802, api_server="10.96.0.1", exclude_cidrs=("10.0.0.0/8", "fd00::/8"))
V4 = """\
*nat
:WFB_OUTPUT - [0:0]
-A WFB_OUTPUT -m owner --uid-owner 64802 -j RETURN
-A WFB_OUTPUT -m owner --gid-owner 64802 -j RETURN
-A WFB_OUTPUT -m mark --mark 0x539/0xfff -j RETURN
-A WFB_OUTPUT -d 10.96.0.1 -j RETURN
-A WFB_OUTPUT -d 10.0.0.0/8 -j RETURN
-A WFB_OUTPUT -o lo -j RETURN
-A WFB_OUTPUT -d 127.0.0.0/8 -j RETURN
-A WFB_OUTPUT -p tcp --dport 443 -j REDIRECT --to-ports 64811
COMMIT
*filter
:WFB_GUARD - [0:0]
-A WFB_GUARD -m owner --uid-owner 64802 -j RETURN
-A WFB_GUARD -m owner --gid-owner 64802 -j RETURN
-A WFB_GUARD -m mark --mark 0x539/0xfff -j RETURN
-A WFB_GUARD -d 10.96.0.1 -j RETURN
-A WFB_GUARD -d 10.0.0.0/8 -j RETURN
-A WFB_GUARD -o lo -j RETURN
-A WFB_GUARD -p udp --dport 443 -j REJECT --reject-with icmp-port-unreachable
COMMIT
"""


def test_the_rules_in_their_order():
    """The sidecar's own traffic returns first, exclusions before redirection, and each version gets its own networks."""
    assert rules(SETTINGS, 4) == V4
    six = rules(SETTINGS, 6)
    assert "-d fd00::/8 -j RETURN" in six
    assert "10." not in six
    assert "icmp6-port-unreachable" in six
    assert [chain for _, _, chain in jumps()] == ["WFB_OUTPUT", "WFB_GUARD"]


@pytest.mark.parametrize(
    "bad", [{"to_port": 0}, {"ports": (70000,)}, {"exclude_cidrs": ("ten",)}, {"exclude_ports": (-1,)}]
)
def test_settings_that_mean_nothing_are_refused(bad):
    """One line that names the value and the way out."""
    with pytest.raises(SettingsError, match="write"):
        Settings(**{"to_port": 64811, "uid": 64802} | bad)


@pytest.fixture(scope="module", params=["nft", "legacy"])
def flavour(request):
    """Which programs a machine has: those of nftables, or the older ones alone."""
    if why := missing():
        pytest.skip(f"redirection is not tried: {why}")
    if shutil.which(f"iptables-{request.param}") is None:
        pytest.skip(f"iptables-{request.param} is not installed")
    return request.param


@pytest.fixture(scope="module")
def seen(flavour, tmp_path_factory):
    """What connections met in a namespace with the real rules, where only programs of the flavour are found."""
    programs = tmp_path_factory.mktemp(flavour)
    for name in (f"{ip}tables-{flavour}{end}" for ip in ("ip", "ip6") for end in ("", "-restore", "-save")):
        (programs / name).symlink_to(shutil.which(name))
    (programs / "ip").symlink_to(shutil.which("ip"))
    (programs / "iptables").symlink_to(shutil.which(f"iptables-{flavour}"))
    command = [shutil.which("unshare"), "--net", "--", sys.executable, str(HERE / "inside.py")]
    env = {**os.environ, "PATH": str(programs)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_says_what_it_did_and_doing_it_twice_changes_nothing(seen, flavour):
    """Both versions of IP, one jump however often it ran."""
    for run in ("first", "second"):
        code, said = seen[run]
        assert code == 0, said
        assert f"IPv4 by iptables-{flavour}" in said
        assert f"IPv6 by ip6tables-{flavour}" in said
    assert seen["jumps"] == 1


MET = {
    "before": "nothing",
    "app": "connected",
    "app over v6": "connected",
    "another port": "nothing",
    "an excluded port": "nothing",
    "an excluded network": "nothing",
    "the sidecar": "nothing",
    "udp": "refused",
    "udp over v6": "refused",
    "udp of the sidecar": "nothing",
    "udp elsewhere": "nothing",
    "loopback": "refused",
}


@pytest.mark.parametrize(("what", "expected"), MET.items(), ids=MET)
def test_what_each_connection_meets(seen, what, expected):
    """Only the application's TCP to 443 is redirected; HTTP/3 is refused at once; the rest goes where it went."""
    assert seen[what] == expected


def test_the_sidecar_learns_where_a_connection_wanted_to_go(seen):
    """The original destination of both versions of IP."""
    assert seen["destinations"] == [["192.0.2.50", 443], ["2001:db8::50", 443]]


def test_it_ends_when_the_sidecar_listens(seen):
    """What starts next finds somebody at the door; where nobody comes the pod does not start, and is told where to look."""
    code, said = seen["nobody listens"]
    assert (code, said.startswith("wfb-redirect: nobody listens on port 64811 after 0.1 s")) == (1, True), said
    assert "wfb-sidecar" in said
    assert seen["somebody listens"][0] == 0, seen["somebody listens"]


TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:FD2B 00000000:0000 0A 00000000:00000000 00:00000000 00000000 64802        0 1 1 0 100 0 0 10 0
   1: 0100007F:01BB 0100007F:FD2C 01 00000000:00000000 00:00000000 00000000 64802        0 2 1 0 100 0 0 10 0
"""


@pytest.mark.parametrize(("port", "expected"), [(0xFD2B, True), (0x01BB, False), (0xFD2C, False)])
def test_only_a_listening_socket_counts(tmp_path, port, expected):
    """A connection from or to the port is no listener, and a table that the kernel does not have is none either."""
    table = tmp_path / "tcp"
    table.write_text(TABLE)
    assert listens(port, (tmp_path / "tcp6", table)) is expected


def test_without_the_capability_it_fails_with_the_way_out(seen):
    """A pod that would run unredirected does not start, and its message names the mode that needs nothing."""
    code, said = seen["without rights"]
    assert code == 1
    assert said.startswith("wfb-redirect: ")
    assert "NET_ADMIN" in said
    assert "aifinops.dev/mode=proxy-env" in said
    assert "\n" not in said
