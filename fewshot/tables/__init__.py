"""Tables of records and of published papers; no torch."""
