"""``wfb-redirect``: sends a pod's HTTPS to the sidecar, once, before anything else of the pod starts.

``rules`` says what netfilter is told, ``tables`` tells it and looks whether it took it. Standard library only: it starts in
every pod, and ends at once.
"""
