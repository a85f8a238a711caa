"""The load generator: a program in C, built when it is first needed, and how it is run."""
