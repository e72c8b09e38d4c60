"""Learners that compare a query with examples or with means of them."""
