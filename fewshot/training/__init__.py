"""Training loops that can be read, stopped and resumed."""
