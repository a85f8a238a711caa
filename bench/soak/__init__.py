"""`python -m bench.soak`: a relay under churn, and whether it stays flat."""
