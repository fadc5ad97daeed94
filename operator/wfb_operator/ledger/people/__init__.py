"""How people read the ledger: through the API server, by an aggregated API, with the rights that they have there.

The API server knows who asks, whatever they logged in with, and says so over a connection that bears its own front-proxy
certificate. The ledger believes nobody else, and asks once more whether that person may (SubjectAccessReview).
"""
