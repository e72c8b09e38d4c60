#!/usr/bin/env bash
# datasets 5.2.0: ClassLabel.str2int takes a text that is not a class name, but looks like a whole number, for a position.
# Guess beforehand: a text that is no class name raises ValueError, as "Dog" does for the classes "cat" and "dog".
# Seen: "1" is "dog"; with the classes "7" and "9" (digits, say) the unknown label "1" becomes "9" in silence. A space is
# dropped as well. encode_example, by which tables are cast to a ClassLabel, does the same.
# Why it matters: labels of another file, or of one more class, become labels of a wrong class instead of an error.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q 'datasets==5.2.0'
HF_HUB_OFFLINE=1 "$folder/env/bin/python" - <<'PYTHON'
import datasets
from datasets import ClassLabel, Dataset, Features, Value

print("datasets", datasets.__version__)
pets = ClassLabel(names=["cat", "dog"])
try:
    pets.str2int("Dog")
    raise SystemExit("changed: an unknown name is accepted")
except ValueError as error:
    print("unknown name:", error)
print("'1' among cat, dog:", pets.str2int("1"), "| ' dog':", pets.str2int(" dog"))
digits = ClassLabel(names=["7", "9"])
table = Dataset.from_dict({"label": ["7", "9", "1"]}, features=Features({"label": Value("string")}))
read = table.cast_column("label", digits)["label"]
print("'7', '9', '1' among the classes 7 and 9:", list(read))
if (pets.str2int("1"), pets.str2int(" dog"), digits.encode_example("1")) != (1, 1, 1):
    raise SystemExit("changed")
PYTHON
