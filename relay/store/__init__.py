"""The database: bots, keys and traces. Nothing here is on the way of a chunk.

models      the tables
engine      how a SQLite file and a PostgreSQL server are opened, read and written
schema      which one a database has, and whether it will do
migrate     brings a schema up to date; imported only where one is not
secrets     how tokens are made, kept and compared
bots  access_keys  admin_tokens    the queries, one module per table
upsert      an insertion that goes on where the row is there already, in each dialect
remembered  what was looked up a moment ago
traces  trace_*  admin_traces      how traces are written, read and counted
store       the facade that the composition root opens
"""
