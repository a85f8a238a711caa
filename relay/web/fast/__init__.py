"""The fast path: frames and events go straight between a socket and the node.

uvicorn's ASGI shells cost more per chunk than everything that the relay does with it. These two
protocol classes, given to uvicorn as its `ws` and `http`, offer an endpoint the socket itself, as
an extension in its scope; endpoints that take it (`relay.web.cable`, `relay.web.sse`) are called
back with all that one read of the socket brought, and write once per connection and pass of the
event loop. Handshakes, requests, authentication and everything else go through ASGI as always, and
so does all of it where `RELAY_FAST_PATH` is off.
"""
