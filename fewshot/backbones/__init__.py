"""Networks that turn items into features."""
