"""Files, names, YAML, sealed arrays and checks of numbers: what every other part stands on."""
