"""A cluster of plain processes: two of them do not meet, and one that ends leaves the machine as it was."""

import subprocess
from pathlib import Path

import pytest

from cluster import apart, own
from harness.until import until


def test_two_clusters_do_not_meet_and_one_that_ends_leaves_nothing(cluster):
    """The second has its own node, names and addresses while the first works; afterwards no link, mount, cgroup or file of it is left."""
    if not isinstance(cluster, own.Own):
        pytest.skip("the cluster is somebody else's")
    before = _machine()
    second = own.start()
    try:
        cgroup, folder = second.layout.cgroup, second.layout.folder
        second.kubectl("create", "namespace", "only-there")
        for each in (cluster, second):
            (node,) = each.get("nodes")["items"]
            assert {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"] == "True"
        assert cluster.try_kubectl("get", "namespace", "only-there").returncode
        assert _machine() == before
    finally:
        second.close()
    until(lambda: not folder.exists(), "its folder gone")
    assert _machine() == before
    assert [path for path in apart.hierarchies() if (path / cgroup).exists()] == []
    assert cluster.answers()


def _machine():
    """What the host's own network and mounts look like, rules included."""
    asked = (["ip", "-o", "link"], ["ip", "-o", "address"], ["ip", "route"], ["iptables-save"])
    told = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for command in asked]
    rules = [line for line in told.pop().splitlines() if not line.startswith(("#", ":"))]
    return [*told, rules, Path("/proc/self/mounts").read_text()]
