"""Telling people that a budget has reached a rung: what is said, how it is signed, where it may go, and that it arrives.

A notice is a rung that a window has reached. The ledger writes it down in the transaction in which it happened, once for
each rung and window; whoever reconciles it (the controller, or ``wfb run``) sends it until every receiver took it.
"""
