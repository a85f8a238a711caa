"""Credit: how many chunks a bot may have unacknowledged.

The receiver grants what it can really hold, and states the grant with every ACK. A sender
that assumes a default instead overruns the first receiver that is smaller than that.
"""

from __future__ import annotations


def grant(credit_max: int, held: int) -> int:
    """Return the credit: what of `credit_max` the `held` early chunks leave.

    At least 1: with no credit at all the missing chunk, the only one that can empty the
    hold, could never be sent.
    """
    return max(1, credit_max - held)
