"""What goes over the wire, both ways and for both ends: pure functions between JSON and values."""
