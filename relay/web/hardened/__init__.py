"""uvicorn's two protocols with the limits that they lack, and the socket that they listen on.

A request's head must be complete within a few seconds and within 32 KiB (`heads`), again for each
request of a kept connection: else a few thousand connections that never say anything (slowloris)
keep everybody out. Nothing that reads HTTP is made before the first is complete (`doorstep`): else
they would still keep everybody waiting.

A WebSocket that sends pings without end is cut: each costs a write, and the pongs are the one thing
that uvicorn writes without minding the peer's pace.

And a connection is counted before it has said anything (`relay.limits.door`), and what it says is
decoded in portions (`portions`), because the smallest frames are those that take the longest.
"""
