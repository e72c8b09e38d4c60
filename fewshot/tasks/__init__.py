"""Tasks: what is put to a learner, a file a kind."""
