"""`relay doctor`: looks at everything that a relay stands on, and says how to mend what is wrong.

finding        what was looked at, how it is, and what to do about it
storage        the database and its schema
broker         where stream logs live
machine        the clock, descriptors, the queue of connections
configuration  settings that do not fit together, the signing key
running        a relay that runs, as seen from outside: through its proxy, if it has one
http1          one HTTP request, and when each piece of its answer came

It changes nothing: a database that is not there is not made, a schema that is behind stays so.
"""
