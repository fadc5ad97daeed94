"""Why a row says what it says: the values of `reason` in `wfb meter --json`, each with its sentence."""

METERED = "metered"
REPORTED_COST = "reported_cost"
FREE = "free"
FOREIGN_HOST = "foreign_host"
UNMETERED_PATH = "unmetered_path"
NO_RESPONSE = "no_response"
ERROR_STATUS = "error_status"
ERROR_IN_ANSWER = "error_in_answer"
RESULT_PENDING = "result_pending"
ALREADY_COUNTED = "already_counted"
USAGE_MISSING = "usage_missing"
USAGE_MALFORMED = "usage_malformed"
BODY_MISSING = "body_missing"
BODY_DAMAGED = "body_damaged"
ENCODING_NOT_READ = "encoding_not_read"
ENTRY_DAMAGED = "entry_damaged"
MODEL_UNPRICED = "model_unpriced"
TIER_UNPRICED = "tier_unpriced"
UNIT_UNPRICED = "unit_unpriced"

SENTENCES = {
    METERED: "its usage was read and priced",
    REPORTED_COST: "its usage was read, and the provider itself said what it cost",
    FREE: "the provider does not charge for it",
    FOREIGN_HOST: "its host is no provider's",
    UNMETERED_PATH: "its host is a provider's, and its path is none that is known: it may have cost money",
    NO_RESPONSE: "the recording has no answer",
    ERROR_STATUS: "the answer's status is an error, which costs nothing",
    ERROR_IN_ANSWER: "the answer is an error in spite of its status, and names no usage",
    RESULT_PENDING: "the answer only promises a result",
    ALREADY_COUNTED: "it reads a result again that an earlier entry has counted",
    USAGE_MISSING: "the answer says nothing of usage",
    USAGE_MALFORMED: "the answer's usage is nothing that could be billed",
    BODY_MISSING: "the recording has no body of the answer",
    BODY_DAMAGED: "the answer's body cannot be decoded",
    ENCODING_NOT_READ: "the answer's content-encoding is not read",
    ENTRY_DAMAGED: "the entry is not what such a file holds",
    MODEL_UNPRICED: "its usage was read, and no price is known for its model",
    TIER_UNPRICED: "its usage was read, and no price is known for its service tier",
    UNIT_UNPRICED: "its usage was read, and something in it has no rate",
}
"""Every reason and what it means."""
