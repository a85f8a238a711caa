"""The device protocols: one file for each, all pure. `base` says what a device protocol is."""
