"""The certificates of ledger and webhook where the cluster has no issuer: one root of our own, and leaves that are renewed.

``plan`` decides on what Secrets hold, ``issue`` makes certificates, and the controller writes what they say.
"""
