"""Near-duplicates and exposure: what the data of two parts share."""
