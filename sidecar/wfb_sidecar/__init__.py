"""The egress sidecar: the shell around the core, in the pod."""
