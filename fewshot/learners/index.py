"""Learners by name: the built-in ones, then those that other packages offer as entry points."""

import inspect
from typing import Any, NamedTuple

from fewshot.errors import FewShotError, UnknownNameError
from fewshot.names import look_up, plug_ins
from fewshot.number_checks import plain, seed_number, whole_number

GROUP = "fewshot.learners"
"""The entry points of other packages."""


class Entry(NamedTuple):
    """What the index says of a learner.

    Attributes:
        target: ``"module:attribute"`` below ``fewshot.learners``.
        family: What the list and the documentation group by; ``"transductive"`` ones look at all queries of a call.
        paper: Short citation.
        by_batch_norm: Whether batch norm looks at all queries of a call unless an option says otherwise.
    """

    target: str
    family: str
    paper: str
    by_batch_norm: bool = False

    @property
    def transductive(self) -> bool:
        """Whether scores depend on the other queries of a call."""
        return self.family == "transductive"


LEARNERS = {
    "ale": Entry("ale:ALE", "zero-shot", "Akata et al. 2013"),
    "alpha-tim": Entry("alpha_tim:AlphaTIM", "transductive", "Veilleux et al. 2021"),
    "anil": Entry("anil:ANIL", "gradient", "Raghu et al. 2020", by_batch_norm=True),
    "baseline": Entry("baseline:Baseline", "linear", "Chen et al. 2019"),
    "baseline-pp": Entry("baseline_pp:BaselinePlusPlus", "linear", "Chen et al. 2019"),
    "bd-cspn": Entry("bd_cspn:BDCSPN", "transductive", "Liu et al. 2020"),
    "boil": Entry("boil:BOIL", "gradient", "Oh et al. 2021", by_batch_norm=True),
    "conse": Entry("conse:ConSE", "zero-shot", "Norouzi et al. 2014"),
    "coop": Entry("coop:CoOp", "hybrid", "Zhou et al. 2022"),
    "coral": Entry("adaptation.coral:CORAL", "adaptation", "Sun et al. 2016"),
    "coral-published": Entry("adaptation.coral_published:PublishedCORAL", "adaptation", "Sun et al. 2016"),
    "dap": Entry("dap:DAP", "zero-shot", "Lampert et al. 2009"),
    "descriptor-kernel": Entry(
        "descriptor_kernel:DescriptorKernel", "zero-shot", "Nadaraya 1964; Rohrbach et al. 2010"
    ),
    "descriptor-mix": Entry("descriptor_mix:DescriptorMix", "hybrid", "Xing et al. 2019"),
    "descriptor-regression": Entry("descriptor_regression:DescriptorRegression", "zero-shot", "Palatucci et al. 2009"),
    "devise": Entry("devise:DeViSE", "zero-shot", "Frome et al. 2013"),
    "distribution-calibration": Entry("distribution_calibration:DistributionCalibration", "linear", "Yang et al. 2021"),
    "eszsl": Entry("eszsl:ESZSL", "zero-shot", "Romera-Paredes and Torr 2015"),
    "feat": Entry("feat:FEAT", "metric", "Ye et al. 2020"),
    "gfk": Entry("adaptation.gfk:GFK", "adaptation", "Gong et al. 2012"),
    "jda": Entry("adaptation.jda:JDA", "adaptation", "Long et al. 2013"),
    "joint-pca": Entry("adaptation.pca:JointPCA", "adaptation", "Pan et al. 2011"),
    "fomaml": Entry("fomaml:FOMAML", "gradient", "Finn et al. 2017", by_batch_norm=True),
    "fine-tune": Entry("fine_tune:FineTune", "gradient", "Yosinski et al. 2014; Howard and Ruder 2018"),
    "iap": Entry("iap:IAP", "zero-shot", "Lampert et al. 2009"),
    "k-nearest-neighbours": Entry("k_nearest_neighbours:KNearestNeighbours", "metric", "Cover and Hart 1967"),
    "label-propagation": Entry(
        "label_propagation:LabelPropagation", "transductive", "Zhou et al. 2003; Liu et al. 2019"
    ),
    "laplacian-shot": Entry("laplacian_shot:LaplacianShot", "transductive", "Ziko et al. 2020"),
    "libsvm": Entry("adaptation.libsvm:LibSVM", "adaptation", "Chang and Lin 2011"),
    "logistic-regression": Entry("logistic_regression:LogisticRegression", "linear", "Cox 1958"),
    "lp-plus-plus": Entry("lp_plus_plus:LPPlusPlus", "hybrid", "Huang et al. 2024"),
    "mahalanobis": Entry("mahalanobis:Mahalanobis", "metric", "Fisher 1936; Bateni et al. 2020"),
    "masked-soft-k-means": Entry("soft_k_means:MaskedSoftKMeans", "semi-supervised", "Ren et al. 2018"),
    "matching-attention": Entry("matching_attention:MatchingAttention", "metric", "Vinyals et al. 2016"),
    "matching-net": Entry("matching_net:MatchingNet", "metric", "Vinyals et al. 2016"),
    "maml": Entry("maml:MAML", "gradient", "Finn et al. 2017", by_batch_norm=True),
    "maml-pp": Entry("maml_pp:MAMLPlusPlus", "gradient", "Antoniou et al. 2019", by_batch_norm=True),
    "meta-sgd": Entry("meta_sgd:MetaSGD", "gradient", "Li et al. 2017", by_batch_norm=True),
    "meta-baseline": Entry("meta_baseline:MetaBaseline", "metric", "Chen et al. 2021"),
    "metaoptnet": Entry("metaoptnet:MetaOptNet", "linear", "Lee et al. 2019"),
    "modified-hausdorff": Entry("modified_hausdorff:ModifiedHausdorff", "matching", "Dubuisson and Jain 1994"),
    "nearest-descriptor": Entry("nearest_descriptor:NearestDescriptor", "zero-shot", "Radford et al. 2021"),
    "nearest-mean": Entry("nearest_mean:NearestMean", "metric", "Snell et al. 2017"),
    "proto-maml": Entry("proto_maml:ProtoMAML", "gradient", "Triantafillou et al. 2020", by_batch_norm=True),
    "prototype-fine-tune": Entry("prototype_fine_tune:PrototypeFineTune", "linear", "Triantafillou et al. 2020"),
    "protonet": Entry("protonet:ProtoNet", "metric", "Snell et al. 2017"),
    "r2d2": Entry("r2d2:R2D2", "linear", "Bertinetto et al. 2019"),
    "relation": Entry("relation:RelationNet", "metric", "Sung et al. 2018"),
    "reptile": Entry("reptile:Reptile", "gradient", "Nichol et al. 2018"),
    "relation-net": Entry("relation_net:EndToEndRelationNet", "metric", "Sung et al. 2018"),
    "ridge": Entry("ridge:Ridge", "linear", "Hoerl and Kennard 1970"),
    "pt-map": Entry("pt_map:PTMAP", "transductive", "Hu et al. 2021"),
    "sae": Entry("sae:SAE", "zero-shot", "Kodirov et al. 2017"),
    "setfit": Entry("setfit:SetFit", "text", "Tunstall et al. 2022"),
    "simpleshot": Entry("simpleshot:SimpleShot", "metric", "Wang et al. 2019"),
    "sje": Entry("sje:SJE", "zero-shot", "Akata et al. 2015"),
    "source-only": Entry("adaptation.source_only:SourceOnly", "adaptation", "Long et al. 2013"),
    "soft-k-means": Entry("soft_k_means:SoftKMeans", "semi-supervised", "Ren et al. 2018"),
    "transductive-fine-tune": Entry(
        "transductive_fine_tune:TransductiveFineTune", "transductive", "Dhillon et al. 2020"
    ),
    "transformed": Entry("transformed:Transformed", "wrapper", "Wang et al. 2019; Hu et al. 2021"),
    "subspace-alignment": Entry(
        "adaptation.subspace_alignment:SubspaceAlignment", "adaptation", "Fernando et al. 2013"
    ),
    "svm": Entry("svm:SVM", "linear", "Crammer and Singer 2001; Lee et al. 2019"),
    "tca": Entry("adaptation.tca:TCA", "adaptation", "Pan et al. 2011"),
    "tied-em": Entry("tied_em:TiedEM", "transductive", "Dempster et al. 1977; Nigam et al. 2000"),
    "tim-adm": Entry("tim_adm:TIMADM", "transductive", "Boudiaf et al. 2020"),
    "tim-gd": Entry("tim_gd:TIMGD", "transductive", "Boudiaf et al. 2020"),
    "tip-adapter": Entry("tip_adapter:TipAdapter", "hybrid", "Zhang et al. 2022"),
    "tip-adapter-f": Entry("tip_adapter_f:TipAdapterF", "hybrid", "Zhang et al. 2022"),
    "zero-shot-protonet": Entry("zero_shot_protonet:ZeroShotProtoNet", "zero-shot", "Snell et al. 2017"),
}


def targets() -> dict[str, str]:
    """The full ``"package.module:attribute"`` behind every built-in name."""
    return {name: f"fewshot.learners.{entry.target}" for name, entry in LEARNERS.items()}


def find_learner(name: str) -> Any:
    """The class or function that makes a learner.

    Raises:
        UnknownNameError: If nobody knows the name; names the nearest match. A class name stands in the record
            of an object that was not made by a name; the error says how it gets one.
    """
    made = {target.rpartition(":")[2] for target in targets().values()}
    if name.isidentifier() and name != name.lower() and name not in {*made, *plug_ins(GROUP)}:
        raise UnknownNameError(
            f"a learner must have a registered name, got '{name}', the class of an object without one; register it as an "
            f"entry point of the group {GROUP} and evaluate it by that name (docs/your-own-learner.md, 'Give it a name')"
        )
    return look_up("learner", name, targets(), GROUP)


def load_learner(name: str, **options: Any) -> Any:
    """A learner from its name in kebab case.

    Args:
        name: A key of ``LEARNERS``, or an entry point in the group ``fewshot.learners``.
        options: Fields of the learner; without them the paper's values hold.

    Raises:
        UnknownNameError: If nobody knows the name; names the nearest match.
        FewShotError: If the learner has no such option, or lacks one that it needs.

    Example:
        >>> load_learner("nearest-mean", metric="cosine")
        NearestMean(metric='cosine', temperature=1.0)
    """
    make = find_learner(name)
    known = inspect.signature(make).parameters
    _check_options(name, known, options)
    return make(**{option: _as_declared(option, value, known) for option, value in options.items()})


def _as_declared(option: str, value: Any, known: Any) -> Any:
    """A scalar of NumPy as Python's own, and a whole number where the learner declares one."""
    declared = known[option].annotation if option in known else None
    if declared is int or (declared == int | None and value is not None):
        return seed_number(value) if option == "seed" else whole_number(option, value)
    return plain(value)


def _check_options(name: str, known: Any, options: dict[str, Any]) -> None:
    kinds = {parameter.kind for parameter in known.values()}
    wrong = sorted(set(options) - set(known)) if inspect.Parameter.VAR_KEYWORD not in kinds else []
    if wrong:
        raise FewShotError(f"options of learner '{name}' must be among {_list(known)}, got {_list(wrong)}")
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    needed = [k for k, p in known.items() if p.default is inspect.Parameter.empty and p.kind not in variadic]
    missing = [option for option in needed if option not in options]
    if missing:
        raise FewShotError(f"learner '{name}' needs {_list(missing)}, got {_list(options)}; pass it by name")


def _list(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names) or "no option"
