"""The injector: a pod that asks for it comes out of admission with the sidecar in it.

``inject`` is pure: a pod, its namespace and settings in, a JSON patch and a report out. ``webhook`` serves it to the API
server, and ``wfb inject`` shows the same on a file.
"""
