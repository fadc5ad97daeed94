"""A picture of the dashboard, drawn by a Grafana that is given.

The API is Grafana's (https://grafana.com/docs/grafana/latest/developers/http_api/dashboard/): POST /api/dashboards/db takes
the dashboard and answers with the path of its page; a service account's token opens both.
"""

import json
import urllib.request


def put(url, token, dashboard):
    """The address of the dashboard's page, once Grafana has it; raises urllib.error.HTTPError with what it says."""
    body = {"dashboard": {**dashboard, "id": None}, "overwrite": True}
    headers = {"content-type": "application/json", **authorization(token)}
    request = urllib.request.Request(f"{url}/api/dashboards/db", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return url + json.load(answer)["url"]


def draw(browser, page, token, path, since="now-6h"):
    """Writes what the page shows without Grafana's own frame, as PNG; returns its title."""
    context = browser.new_context(
        viewport={"width": 1600, "height": 2400}, extra_http_headers=authorization(token), color_scheme="light"
    )
    try:
        opened = context.new_page()
        opened.goto(f"{page}?kiosk&from={since}&to=now", wait_until="networkidle")
        opened.screenshot(path=path, full_page=True)
        return opened.title()
    finally:
        context.close()


def authorization(token):
    """The header of a service account; none for a Grafana that lets everybody in."""
    return {"authorization": f"Bearer {token}"} if token else {}
