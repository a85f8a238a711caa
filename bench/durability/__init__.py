"""`python -m bench.durability`: what an ACK survives, found by killing processes."""
