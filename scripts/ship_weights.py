"""Take the backbone of the finished run of ``omniglot-protonet`` as the weights that the package ships.

Usage: FEWSHOT_DATA=... fewshot-bench run omniglot-protonet, then python scripts/ship_weights.py
"""

import sys
from pathlib import Path

from fewshot.backbones.conv4 import Conv4
from fewshot.backbones.weights import save_weights
from fewshot.recipes.build import checkpoint_path
from fewshot.recipes.load import load_recipe
from fewshot.training.checkpoint import part, read_checkpoint

TARGET = Path(__file__).parents[1] / "data" / "weights" / "conv4-omniglot.safetensors"


def main() -> int:
    """Write the weights with what their training saw and cost."""
    recipe = load_recipe("omniglot-protonet")
    tensors, progress = read_checkpoint(checkpoint_path(recipe))
    if recipe.training is None or progress["step"] < recipe.training.episodes:
        print(f"the run must be finished, got step {progress['step']}; run: fewshot-bench run omniglot-protonet")
        return 2
    network = Conv4()
    network.load_state_dict(part(part(tensors, "best"), "backbone"))
    best = max(progress["validations"], key=lambda v: (v[1], -v[0]))
    facts = {
        "recipe": recipe.name,
        "settings": progress["settings"],
        "data": progress["data"],
        "selection": {"step": best[0], "validation_accuracy": best[1]},
        "seconds": round(progress["seconds"]),
        "classes_seen": progress["classes_seen"],
    }
    print(save_weights(TARGET, network, facts), f"{TARGET.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
