"""Published data sets, each under its name."""
