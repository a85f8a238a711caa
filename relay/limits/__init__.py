"""How much of the relay one caller may have: connections, requests, messages, bytes.

Nothing here does I/O or knows what a connection is: whoever serves one asks, synchronously, and
acts on the answer.

bucket     a token bucket, and one for each of many subjects
tally      a count for each of many subjects
address    what counts as one address
allowance  the limits, as an operator set them
refusal    which limit, what was refused, and when to come back
gate       who may come in, and how often: `Gate.admit(...) -> Permit | Refusal`
budget     what one socket may say: `Budget.charge(...) -> seconds to wait`
door       who may connect at all, before anything was said

A limit of 0 is none.
"""
