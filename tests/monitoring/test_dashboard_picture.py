"""A picture of the dashboard where a Grafana is given, and what a Grafana is asked for."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.chromium import chromium
from harness.prometheus_rules import CHART
from monitoring import grafana

DASHBOARD = json.loads((CHART / "files" / "monitoring" / "dashboard.json").read_text())
DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def browser():
    """For this file only."""
    with chromium() as running:
        yield running


@pytest.mark.skipif("GRAFANA_URL" not in os.environ, reason="GRAFANA_URL names no Grafana with data of the operator")
def test_a_given_grafana_draws_the_dashboard(browser):
    """Grafana takes the dashboard as it is, and its page becomes docs/dashboard.png for a person to look at."""
    url, token = os.environ["GRAFANA_URL"].rstrip("/"), os.environ.get("GRAFANA_TOKEN", "")
    title = grafana.draw(browser, grafana.put(url, token, DASHBOARD), token, DOCS / "dashboard.png")
    assert DASHBOARD["title"] in title


class Asked(BaseHTTPRequestHandler):
    """The two answers of Grafana's API that are needed, and a note of what was asked."""

    def do_POST(self):
        """Takes a dashboard."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, self.headers["authorization"], body))
        self._answer("application/json", json.dumps({"url": f"/d/{body['dashboard']['uid']}/x", "status": "success"}))

    def do_GET(self):
        """Shows its page."""
        self.server.asked.append((self.path, self.headers["authorization"], None))
        self._answer("text/html", "<title>shown</title><p>panels")

    def _answer(self, kind, text):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        """Says nothing."""


def test_what_a_grafana_is_asked_for(browser, tmp_path):
    """The dashboard goes in without a number of its own and over an older one; its page is opened without the frame, with the token."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        page = grafana.put(f"http://127.0.0.1:{server.server_port}", "secret", DASHBOARD)
        assert grafana.draw(browser, page, "secret", tmp_path / "shown.png") == "shown"
    finally:
        server.shutdown()
        server.server_close()
    (path, bearer, body), (shown, bearer_too, _) = server.asked[:2]
    assert (path, bearer, bearer_too) == ("/api/dashboards/db", "Bearer secret", "Bearer secret")
    assert (body["overwrite"], body["dashboard"]["id"]) == (True, None)
    assert shown == f"/d/{DASHBOARD['uid']}/x?kiosk&from=now-6h&to=now"
    assert (tmp_path / "shown.png").read_bytes().startswith(b"\x89PNG")
