"""One self-contained HTML page about records: tables, figures, episodes, and where every number comes from."""
