"""Streams, bots and readers of one process: asynchronous, and free of web, SQL and brokers."""
