"""Writes oracle.json: what transformers makes of scores before it chooses a token.

    python plugins/decoding/tests/oracle.py

Written with transformers 5.23 and torch 2.11.
"""

import json
import pathlib

import torch
from transformers import LogitsProcessorList
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

torch.manual_seed(1)
scores = (torch.randn(3, 24) * 3).round(decimals=3)
ids = torch.randint(0, 24, (3, 6))
mask = torch.tensor([[1] * 6, [0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1]])
cases = []
for options in [
    {},
    {"repetition_penalty": 1.7},
    {"temperature": 0.5},
    {"top_k": 5},
    {"top_p": 0.8},
    {"min_p": 0.1},
    {"temperature": 1.5, "top_k": 9, "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 1.3},
    {"temperature": 0.3, "top_p": 0.5, "min_p": 0.2, "repetition_penalty": 0.8},
]:
    steps = LogitsProcessorList()
    # The order of transformers' GenerationMixin._get_logits_processor.
    if "repetition_penalty" in options:
        padding = (mask != 0).int().argmax(dim=1)
        steps.append(RepetitionPenaltyLogitsProcessor(options["repetition_penalty"], prompt_ignore_length=padding))
    if "temperature" in options:
        steps.append(TemperatureLogitsWarper(options["temperature"]))
    if "top_k" in options:
        steps.append(TopKLogitsWarper(options["top_k"]))
    if "top_p" in options:
        steps.append(TopPLogitsWarper(options["top_p"]))
    if "min_p" in options:
        steps.append(MinPLogitsWarper(options["min_p"]))
    made = steps(ids.clone(), scores.clone())
    rows = [[None if value == float("-inf") else round(value, 6) for value in row] for row in made.tolist()]
    cases.append({"options": options, "scores": rows})
oracle = {"scores": [[round(v, 3) for v in row] for row in scores.tolist()], "ids": ids.tolist(), "mask": mask.tolist(), "cases": cases}
path = pathlib.Path(__file__).with_name("oracle.json")
path.write_text(json.dumps(oracle) + "\n")
