"""Records, statistics, tables and figures: pure functions of results, without torch."""
