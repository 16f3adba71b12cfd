"""params.yaml, typed: one section is one class; a wrong key or value is refused with its name and the remedy."""

from bmix.params.data import AuditParams, DataParams, NoiseParams
from bmix.params.edits import apply_edits, settable_keys
from bmix.params.learning import MethodParams, ModelParams, PretrainParams, PseudoParams, TrainingParams
from bmix.params.read import load_params, parse_params, read_yaml
from bmix.params.results import EvaluateParams, RetrainParams
from bmix.params.section import Cut, Place, Section, Seed, Share, one_of
from bmix.params.whole import PLACES, Params, flat, known_keys

__all__ = [
    "PLACES",
    "AuditParams",
    "Cut",
    "DataParams",
    "EvaluateParams",
    "MethodParams",
    "ModelParams",
    "NoiseParams",
    "Params",
    "Place",
    "PretrainParams",
    "PseudoParams",
    "RetrainParams",
    "Section",
    "Seed",
    "Share",
    "TrainingParams",
    "apply_edits",
    "flat",
    "known_keys",
    "load_params",
    "one_of",
    "parse_params",
    "read_yaml",
    "settable_keys",
]
