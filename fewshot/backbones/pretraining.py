"""What weights were trained on, as far as their tag says: ``in12k_ft_in1k`` is ImageNet-12k, then ImageNet-1k."""

import re

DATA = {  # words of the tags of timm and torchvision
    "in1k": "ImageNet-1k",
    "imagenet1k": "ImageNet-1k",
    "mae": "ImageNet-1k",
    "fcmae": "ImageNet-1k",
    "dino": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-22k",
    "in22k": "ImageNet-22k",
    "inw21k": "ImageNet-22k",
    "openai": "WebImageText",
    "laion400m": "LAION-400M",
    "laion2b": "LAION-2B",
    "laiona": "LAION-Aesthetics",
    "datacompxl": "DataComp-1B",
    "datacomp1b": "DataComp-1B",
    "dfn2b": "DFN-2B",
    "dfn5b": "DFN-5B",
    "metaclip": "MetaCLIP's web pairs",
    "metaclip2": "MetaCLIP's web pairs",
    "webli": "WebLI",
    "lvd142m": "LVD-142M",
    "lvd1689m": "LVD-1689M",
    "sat493m": "SAT-493M",
    "yfcc15m": "YFCC-15M",
    "yfcc100m": "YFCC-100M",
    "cc12m": "CC-12M",
    "ig1b": "Instagram-1B",
    "swag": "Instagram-3.6B",
    "seer": "Instagram-1B",
    "jft": "JFT-300M",
    "sa1b": "SA-1B",
    "m30m": "Merged-30M",
    "m38m": "Merged-38M",
    "merged2b": "Merged-2B",
    "bamboo": "Bamboo",
}


def trained_on(tag: str | None) -> str | None:
    """The data sets that a tag names, in its order, each once: ``"LAION-2B, ImageNet-1k"``.

    Args:
        tag: Of timm, or the name of torchvision's weights.

    Returns:
        Nothing where the tag names none that is known here: that is not known, not untrained.

    Example:
        >>> trained_on("laion2b_ft_in12k_in1k"), trained_on("IMAGENET1K_V2"), trained_on("pt")
        ('LAION-2B, ImageNet-12k, ImageNet-1k', 'ImageNet-1k', None)
    """
    words = re.split(r"[\W_]+", (tag or "").lower())
    return ", ".join(dict.fromkeys(DATA[word] for word in words if word in DATA)) or None
