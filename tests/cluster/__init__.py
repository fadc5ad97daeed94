"""A real Kubernetes for the tests: a whole cluster, or its API server alone.

``fixtures`` holds the pytest fixtures ``cluster`` and ``api_server``; ``python tests/cluster up`` leaves a cluster running.
No Docker is needed: on Linux, as root and with Go, the parts of Kubernetes are built once and run as plain processes in
namespaces and a cgroup of their own. ``own`` is that way, ``kind`` the one where Docker answers, ``given`` a cluster that
somebody else keeps.
"""
