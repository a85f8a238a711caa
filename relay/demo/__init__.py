"""`relay demo`: the recorded incident, live, through a real relay.

incident    what was recorded, with texts made up for it
scenarios   what is played: who speaks, what is lost, what the summary says
bots        who speaks: frames as old SDKs put them on the wire, and today's SDK
device      who reads: the glasses, over plain HTTP
relay_process   the relay itself, as a process of its own on a free port
ledger      what bot and device saw, noted by them and by nobody else
verdict     the ledger against the relay's trace
screen, panels, tables   how it looks
stage       all of it, one scenario after the other
"""
