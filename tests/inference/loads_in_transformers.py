"""Loads saved models in transformers and writes what they give beside them, for `zoo parity` to compare.

    python tests/inference/loads_in_transformers.py FOLDER...

Each folder is loaded by the first class of its config.json, with all its tensors: none may be missing but
those that are tied, none may be left over. The outputs go to `oracle.safetensors` in the folder.
"""

import json
import pathlib
import sys

try:
    import torch
    import transformers
    from safetensors.torch import save_file
except ImportError as error:
    print(f"NOT CHECKED: {error}; install transformers and torch to check that saved models load", file=sys.stderr)
    sys.exit(77)

for folder in map(pathlib.Path, sys.argv[1:]):
    config = json.loads((folder / "config.json").read_text())
    model, report = getattr(transformers, config["architectures"][0]).from_pretrained(folder, output_loading_info=True)
    # A bare BertModel has a pooler that a trained encoder lacks.
    missing = [name for name in report["missing_keys"] if not name.startswith("pooler.")]
    if missing or report["unexpected_keys"] or report["mismatched_keys"]:
        sys.exit(f"{folder}: {report}")
    model.eval()
    torch.manual_seed(3)
    ids = torch.randint(5, config["vocab_size"], (3, 12))
    mask = torch.ones_like(ids)
    if "ForCausalLM" not in config["architectures"][0]:
        mask[1, 9:] = 0
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=mask)
    tensors = {"in.input_ids": ids, "in.attention_mask": mask}
    name = "logits" if "logits" in out else "last_hidden_state"
    tensors[f"out.{name}"] = out[name].contiguous()
    save_file(tensors, folder / "oracle.safetensors")
    print(f"{folder}: {type(model).__name__}, {sum(p.numel() for p in model.parameters())} parameters")
