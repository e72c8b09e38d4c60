"""Scoring learners on episodes, with a guard for what they claim."""
