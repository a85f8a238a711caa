"""The protocol core: what a stream is, and what must be done when something happens to it.

Theory of operation
===================

A stream is one bot answer to one request. Its chunks arrive numbered 0..n-1, but frames
are lost, repeated, reordered and late, and the announcement of the end may overtake the
last of them. `StreamReceiver` turns these arrivals into an ordered log; `StreamSender` is
the bot's half. Both are pure and synchronous:

    receive(message, now) -> list[Effect]
    handle_timer(now)     -> list[Effect]
    next_deadline()       -> float | None

No clock is read and nothing is written here. The caller performs the effects *in list
order* and stops at the first that fails. The order is the guarantee: `[Append, Ack]` makes
"an ACK means it is safely stored" true by construction.

    Chunk --> sequencer --ready--> Append --> Ack        in order: into the log
                  |------held----> Hold ----> Ack        early: beside the log
                  |---duplicate-------------> Ack        again: stored once
                  '---refused------> Refuse              typed, never in silence
    End ----> barrier: holds until 0..n-1 are stored, or its deadline passes
    Summary -> compensation: repairs exactly, or not at all
    anything that ends the stream --> Append(.., end) --> Finish(report)

What must not tear is one effect: a repair and the end that it justifies are one `Append`.

Status only climbs (`relay.protocol.status`):

    PENDING --first chunk--> ACTIVE --stream_end--> ENDING --whole--> COMPLETED
        '--------------------------- any loss or failure ---------------> ANOMALY

Every deadline is a function of times that the log keeps (`Entry.at`, `HeldChunk.at`), so a
takeover never postpones an end. `StreamReceiver.restore` rebuilds the receiver from the log and
from its `facts`: the little that no entry says, which the caller keeps beside the log.

Modules: `events`, `status` and `report` are the vocabulary; `rangeset`, `sequencer`, `window`,
`barrier`, `compensation`, `retransmit` and `entries` are the parts; `state` is what is known of a
stream, `facts` what of it no entry says, and `receiver` what happens to it; `sender`, with
`ledger`, is the bot's half; `forensics` measures losses; `surrogates` and `texthash` deal with
UTF-16.
"""
