"""The controller: budgets in the cluster become the ledger's, and what the ledger knows becomes their status.

Level-triggered. Kopf's watches only keep ``World`` true; one loop compares it with what was last sent and written, and
acts on the difference. Nothing is remembered between two runs of the process, and nothing has a finalizer.
"""
