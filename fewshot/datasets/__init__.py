"""Collections of items, and the readers that make them."""
