"""Learners by name: the built-in ones, then those that other packages offer as entry points."""

import inspect
from typing import Any, NamedTuple

from fewshot.errors import FewShotError, UnknownNameError
from fewshot.plumbing.names import look_up, plug_ins
from fewshot.plumbing.number_checks import plain, seed_number, whole_number

GROUP = "fewshot.learners"
"""The entry points of other packages."""


class Entry(NamedTuple):
    """What the index says of a learner.

    Attributes:
        target: ``"family.module:attribute"`` below ``fewshot.learners``; what wraps other learners has no family.
        paper: Short citation.
        by_batch_norm: Whether batch norm looks at all queries of a call unless an option says otherwise.
    """

    target: str
    paper: str
    by_batch_norm: bool = False

    @property
    def family(self) -> str:
        """The folder of its file, by which the list and the documentation group; ``"wrapper"`` for what wraps others."""
        family, dot, _ = self.target.partition(".")
        return family if dot else "wrapper"

    @property
    def transductive(self) -> bool:
        """Whether scores depend on the other queries of a call."""
        return self.family == "transductive"


LEARNERS = {
    "coral": Entry("adaptation.coral:CORAL", "Sun et al. 2016"),
    "coral-published": Entry("adaptation.coral_published:PublishedCORAL", "Sun et al. 2016"),
    "gfk": Entry("adaptation.gfk:GFK", "Gong et al. 2012"),
    "jda": Entry("adaptation.jda:JDA", "Long et al. 2013"),
    "joint-pca": Entry("adaptation.pca:JointPCA", "Pan et al. 2011"),
    "libsvm": Entry("adaptation.libsvm:LibSVM", "Chang and Lin 2011"),
    "source-only": Entry("adaptation.source_only:SourceOnly", "Long et al. 2013"),
    "subspace-alignment": Entry("adaptation.subspace_alignment:SubspaceAlignment", "Fernando et al. 2013"),
    "tca": Entry("adaptation.tca:TCA", "Pan et al. 2011"),
    "ale": Entry("described.ale:ALE", "Akata et al. 2013"),
    "alpha-tim": Entry("transductive.alpha_tim:AlphaTIM", "Veilleux et al. 2021"),
    "anil": Entry("gradient.anil:ANIL", "Raghu et al. 2020", by_batch_norm=True),
    "baseline": Entry("linear.baseline:Baseline", "Chen et al. 2019"),
    "baseline-pp": Entry("linear.baseline_pp:BaselinePlusPlus", "Chen et al. 2019"),
    "bd-cspn": Entry("transductive.bd_cspn:BDCSPN", "Liu et al. 2020"),
    "boil": Entry("gradient.boil:BOIL", "Oh et al. 2021", by_batch_norm=True),
    "conse": Entry("described.conse:ConSE", "Norouzi et al. 2014"),
    "coop": Entry("described.coop:CoOp", "Zhou et al. 2022"),
    "dap": Entry("described.dap:DAP", "Lampert et al. 2009"),
    "descriptor-kernel": Entry("described.descriptor_kernel:DescriptorKernel", "Nadaraya 1964; Rohrbach et al. 2010"),
    "descriptor-mix": Entry("described.descriptor_mix:DescriptorMix", "Xing et al. 2019"),
    "descriptor-regression": Entry("described.descriptor_regression:DescriptorRegression", "Palatucci et al. 2009"),
    "devise": Entry("described.devise:DeViSE", "Frome et al. 2013"),
    "distribution-calibration": Entry("linear.distribution_calibration:DistributionCalibration", "Yang et al. 2021"),
    "eszsl": Entry("described.eszsl:ESZSL", "Romera-Paredes and Torr 2015"),
    "feat": Entry("metric.feat:FEAT", "Ye et al. 2020"),
    "fomaml": Entry("gradient.fomaml:FOMAML", "Finn et al. 2017", by_batch_norm=True),
    "fine-tune": Entry("gradient.fine_tune:FineTune", "Yosinski et al. 2014; Howard and Ruder 2018"),
    "iap": Entry("described.iap:IAP", "Lampert et al. 2009"),
    "k-nearest-neighbours": Entry("metric.k_nearest_neighbours:KNearestNeighbours", "Cover and Hart 1967"),
    "label-propagation": Entry("transductive.label_propagation:LabelPropagation", "Zhou et al. 2003; Liu et al. 2019"),
    "kliep": Entry("adaptation.kliep:KLIEP", "Sugiyama et al. 2008"),
    "kmm": Entry("adaptation.kmm:KMM", "Huang et al. 2006"),
    "laplacian-shot": Entry("transductive.laplacian_shot:LaplacianShot", "Ziko et al. 2020"),
    "logistic-regression": Entry("linear.logistic_regression:LogisticRegression", "Cox 1958"),
    "logistic-transfer": Entry("adaptation.logistic_transfer:LogisticTransfer", "Chelba and Acero 2004"),
    "lp-plus-plus": Entry("described.lp_plus_plus:LPPlusPlus", "Huang et al. 2024"),
    "mahalanobis": Entry("metric.mahalanobis:Mahalanobis", "Fisher 1936; Bateni et al. 2020"),
    "masked-soft-k-means": Entry("metric.soft_k_means:MaskedSoftKMeans", "Ren et al. 2018"),
    "matching-attention": Entry("metric.matching_attention:MatchingAttention", "Vinyals et al. 2016"),
    "matching-net": Entry("metric.matching_net:MatchingNet", "Vinyals et al. 2016"),
    "maml": Entry("gradient.maml:MAML", "Finn et al. 2017", by_batch_norm=True),
    "maml-pp": Entry("gradient.maml_pp:MAMLPlusPlus", "Antoniou et al. 2019", by_batch_norm=True),
    "meta-sgd": Entry("gradient.meta_sgd:MetaSGD", "Li et al. 2017", by_batch_norm=True),
    "meta-baseline": Entry("metric.meta_baseline:MetaBaseline", "Chen et al. 2021"),
    "metaoptnet": Entry("linear.metaoptnet:MetaOptNet", "Lee et al. 2019"),
    "modified-hausdorff": Entry("metric.modified_hausdorff:ModifiedHausdorff", "Dubuisson and Jain 1994"),
    "nearest-descriptor": Entry("described.nearest_descriptor:NearestDescriptor", "Radford et al. 2021"),
    "nearest-mean": Entry("metric.nearest_mean:NearestMean", "Snell et al. 2017"),
    "proto-maml": Entry("gradient.proto_maml:ProtoMAML", "Triantafillou et al. 2020", by_batch_norm=True),
    "prototype-fine-tune": Entry("linear.prototype_fine_tune:PrototypeFineTune", "Triantafillou et al. 2020"),
    "protonet": Entry("metric.protonet:ProtoNet", "Snell et al. 2017"),
    "r2d2": Entry("linear.r2d2:R2D2", "Bertinetto et al. 2019"),
    "relation": Entry("metric.relation:RelationNet", "Sung et al. 2018"),
    "reptile": Entry("gradient.reptile:Reptile", "Nichol et al. 2018"),
    "relation-net": Entry("metric.relation_net:EndToEndRelationNet", "Sung et al. 2018"),
    "ridge": Entry("linear.ridge:Ridge", "Hoerl and Kennard 1970"),
    "optimal-transport": Entry("adaptation.optimal_transport:OptimalTransport", "Courty et al. 2017"),
    "ridge-transfer": Entry("adaptation.ridge_transfer:RidgeTransfer", "Chelba and Acero 2004"),
    "pt-map": Entry("transductive.pt_map:PTMAP", "Hu et al. 2021"),
    "sae": Entry("described.sae:SAE", "Kodirov et al. 2017"),
    "setfit": Entry("text.setfit:SetFit", "Tunstall et al. 2022"),
    "simpleshot": Entry("metric.simpleshot:SimpleShot", "Wang et al. 2019"),
    "sje": Entry("described.sje:SJE", "Akata et al. 2015"),
    "soft-k-means": Entry("metric.soft_k_means:SoftKMeans", "Ren et al. 2018"),
    "tradaboost": Entry("adaptation.tradaboost:TrAdaBoost", "Dai et al. 2007"),
    "transductive-fine-tune": Entry("transductive.transductive_fine_tune:TransductiveFineTune", "Dhillon et al. 2020"),
    "transformed": Entry("transformed:Transformed", "Wang et al. 2019; Hu et al. 2021"),
    "svm": Entry("linear.svm:SVM", "Crammer and Singer 2001; Lee et al. 2019"),
    "tied-em": Entry("transductive.tied_em:TiedEM", "Dempster et al. 1977; Nigam et al. 2000"),
    "tim-adm": Entry("transductive.tim_adm:TIMADM", "Boudiaf et al. 2020"),
    "tim-gd": Entry("transductive.tim_gd:TIMGD", "Boudiaf et al. 2020"),
    "tip-adapter": Entry("described.tip_adapter:TipAdapter", "Zhang et al. 2022"),
    "tip-adapter-f": Entry("described.tip_adapter_f:TipAdapterF", "Zhang et al. 2022"),
    "ulsif": Entry("adaptation.ulsif:ULSIF", "Kanamori et al. 2009"),
    "zero-shot-protonet": Entry("described.zero_shot_protonet:ZeroShotProtoNet", "Snell et al. 2017"),
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
