"""Pictures of records; no torch."""
