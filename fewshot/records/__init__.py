"""Records: what an evaluation found, and how two of them compare; no torch."""
