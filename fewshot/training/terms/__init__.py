"""Terms of a training loss, a file a paper."""
