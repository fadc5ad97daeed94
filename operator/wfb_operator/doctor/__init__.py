"""``wfb doctor``: what keeps calls from being counted in a cluster, found before anybody wonders about a bill.

``look`` asks the API server with the user's own rights, ``checks`` decide on what was seen, and nothing is changed.
"""
