"""A choice of options as a table."""

from fewshot.records.choice import Choice, as_text
from fewshot.tables.record_tables import Table, mean_cell, shot_cell, whole


def choice_table(choice: Choice) -> Table:
    """The candidates of a choice, in the order in which they were given, with paired differences to the chosen one."""
    rows = tuple(
        (
            as_text(c.options),
            mean_cell(c.accuracy),
            "chosen" if c.difference is None else mean_cell(c.difference, signed=True),
        )
        for c in choice.candidates
    )
    e, level = choice.episodes, choice.candidates[0].accuracy.level
    where = f"{choice.data.name}/{choice.data.split}" if choice.data.split else choice.data.name
    notes = (
        f"accuracy: mean over {e.count} {whole(e.way)}-way {shot_cell(e)}-shot episodes of {where}, {level:.0%} interval",
        "difference: accuracy minus that of the chosen one on the same episodes; "
        "its interval is not corrected for having chosen the best",
        *choice.notes,
    )
    return Table(
        ("options", "accuracy %", "difference"), rows, f"{choice.learner}: options on validation classes", notes
    )
