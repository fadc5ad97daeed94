"""Showback and chargeback: what was spent, by whom, in forms for people, spreadsheets and billing systems.

Pure but for ``books``, through which everything is read: a statement is gathered, then written as a table, CSV, JSON,
FOCUS or one HTML page. Amounts are nano-USD inside and exact decimal strings outside.
"""
