"""Where logs live and letters travel: the ports, and one file per broker."""
