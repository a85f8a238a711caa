"""What an operator asks and is told: the values, and the ports behind which they are found.

trace_row   what is kept of one stream
traces      which traces, in what order, a page of them
statistics  what many traces say together
people      bots, access keys and their scopes, binding tokens
live        streams that are open just now
story       one trace told in words, for the command line and the page alike
ports       who answers: the store, and the node

The admin API, the admin page and the command line speak these words; none of them knows SQL,
and the store knows none of them.
"""
