"""The tests. Only this folder is a package: helpers are imported as `tests.<folder>.<module>`."""
