"""Learners that look at all queries of an episode together."""
