"""Writes options.json: texts that transformers generates from the reference models with other options.

    python plugins/checkpoints/tests/golden/options.py

Written with transformers 5.23 and torch 2.11.
"""

import json
import pathlib

import torch
from transformers import AutoModelForCausalLM

folder = pathlib.Path(__file__).parent
made = []
for name in ["llama_clm", "gpt2_clm", "gemma2_clm"]:
    model = AutoModelForCausalLM.from_pretrained(folder / name).eval()
    start = json.loads((folder / name / "generate.json").read_text())["input_ids"]
    prompts = [start[0][:3], start[1], start[0][:5]]
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
    plain = model.generate(ids, attention_mask=mask, max_new_tokens=10, do_sample=False, pad_token_id=0, eos_token_id=None)
    end = plain[1, longest + 3].item()
    for options in [
        {},
        {"repetition_penalty": 1.4},
        {"repetition_penalty": 2.0, "num_beams": 3},
        {"num_beams": 3, "length_penalty": 0.3, "eos_token_id": end},
        {"num_beams": 4, "length_penalty": 2.0, "eos_token_id": end, "num_return_sequences": 3},
        {"eos_token_id": [end]},
    ]:
        arguments = {"eos_token_id": None, **options}
        out = model.generate(ids, attention_mask=mask, max_new_tokens=10, do_sample=False, pad_token_id=0, **arguments)
        copies = options.get("num_return_sequences", 1)
        texts = []
        for row, tokens in enumerate(out.tolist()):
            new = tokens[longest:]
            ends = options.get("eos_token_id", [])
            ends = ends if isinstance(ends, list) else [ends]
            stop = next((i + 1 for i, token in enumerate(new) if token in ends), len(new))
            texts.append(prompts[row // copies] + new[:stop])
        made.append({"model": name, "prompts": prompts, "options": options, "texts": texts})
(folder / "options.json").write_text(json.dumps(made) + "\n")
