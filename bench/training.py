"""Training beside the Python programs that people would use instead: same model and weights, same batches,
precision and threads, same version of libtorch, one run of this script.

    cargo build --release --workspace
    python bench/training.py [--row NAME]... [--environment FOLDER] [--threads 2] [--rounds 5]

Prints the table of the README. Without `--row` all rows are measured; with `--environment` the script first makes a
Python environment in that folder with what is compared, and goes on in it. Both sides are timed in turn, each in a
process of its own, and the medians and the least times of the rounds are told. zoo is timed by `zoo bench`, on recipes
that are written here. What both compute is compared first: losses of the first updates, in float32 and without
dropout, agree to 1e-4, or the row fails. Peak memory is that of the whole process, by the kernel.

Where one would mask at random, both sides need the same masks: all but 15% of the vocabulary are declared special
tokens, which are never masked, and the masker takes all others.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

PACKAGES = ["torch==2.11.0", "transformers==5.23.0"]
#: How far losses of both may be apart, relatively.
AGREE = 1e-4
ROWS = {}


def row(name, target):
    def add(work):
        ROWS[name] = (work, target)
        return work

    return add


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", action="append", help="only this row")
    parser.add_argument("--list", action="store_true", help="print the names of the rows")
    parser.add_argument("--environment", type=pathlib.Path, help="make a Python environment here, and use it")
    parser.add_argument("--zoo", default="target/release/zoo")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=16, help="updates of a round")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    return parser.parse_args()


# ---- both sides -----------------------------------------------------------------------------------------------------


class Peer:
    """The other side: this script in a process of its own, which answers lines with lines."""

    def __init__(self, options, kind, **settings):
        settings["threads"] = options.threads
        command = [sys.executable, __file__, "--peer", json.dumps({"kind": kind, **settings})]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, what, count):
        self.process.stdin.write(f"{what} {count}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the peer ended early"
        return json.loads(answer)

    def close(self):
        """Ends it; its peak memory in bytes."""
        self.process.stdin.close()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = status
        assert status == 0, "the peer failed"
        return usage.ru_maxrss * 1024


class Zoo:
    """This side: calls of the program in a folder."""

    def __init__(self, options, folder, recipe):
        self.options, self.folder = options, folder
        self.zoo = str(pathlib.Path(options.zoo).resolve())
        self.peak = 0
        (folder / "recipe.mlm").write_text(recipe)

    def call(self, *words):
        command = [self.zoo, *words, "--device", "cpu", "--threads", str(self.options.threads), "--offline"]
        with tempfile.TemporaryFile("w+") as out:
            process = subprocess.Popen(command, cwd=self.folder, stdout=out, stderr=subprocess.PIPE, text=True)
            errors = process.stderr.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
            if status:
                sys.exit(f"{' '.join(command)}\n{errors}")
            out.seek(0)
            self.peak = max(self.peak, usage.ru_maxrss * 1024)
            return out.read()

    def bench(self, *settings):
        """Seconds of an update."""
        words = ["bench", "recipe.mlm", "--json", "--steps", str(self.options.steps), *settings]
        self.peak = 0
        told = json.loads(self.call(*words).splitlines()[-1])
        return 1 / told["steps_per_second"]

    def losses(self, count, *settings):
        """The loss of each of the first updates."""
        with tempfile.TemporaryDirectory() as out:
            run = pathlib.Path(out) / "run"
            self.call("run", "recipe.mlm", "--out", str(run), "--alone", *settings)
            lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return [line["values"]["loss"] for line in lines if "loss" in line.get("values", {})][:count]


def agree(ours, theirs):
    assert len(ours) == len(theirs) > 0, f"{len(ours)} losses of zoo, {len(theirs)} of the peer"
    worst = max(abs(a - b) / abs(b) for a, b in zip(ours, theirs))
    assert worst < AGREE, f"losses differ by {worst:.1e}: {ours} and {theirs}"
    return worst


def in_turn(options, ours, theirs):
    """Seconds of both in every round, after one that does not count."""
    ours(), theirs()
    return list(zip(*[(ours(), theirs()) for _ in range(options.rounds)]))


def told(options, name, target, times, peaks, per_update=None, unit="", worst=None):
    ours, theirs = times
    ratio = statistics.median(theirs) / statistics.median(ours)
    least = min(theirs) / min(ours)
    speeds = [
        f"{per_update / statistics.median(side):,.0f} {unit}/s" if per_update else f"{statistics.median(side) * 1e3:,.0f} ms"
        for side in (ours, theirs)
    ]
    memory = " | ".join(f"{peak / 2**20:,.0f} MiB" for peak in peaks)
    apart = f"{worst:.0e}" if worst is not None else ""
    print(f"| {name} | {speeds[0]} | {speeds[1]} | {ratio:.2f} | {least:.2f} | {target} | {memory} | {apart} |", flush=True)


# ---- masked language modelling --------------------------------------------------------------------------------------

VOCABULARY, LENGTH, BATCH, ROWS_OF_DATA = 8192, 128, 32, 256
PAD, BEGIN, END, MASK = range(4)


def is_target(token):
    """Whether a token is masked wherever it stands: 15% of those that are not special anyway."""
    return token > MASK and token % 20 < 3


def mlm_files(folder, full):
    """A tokenizer of words, texts of random words, and a model's first weights."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    names = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(4, VOCABULARY))]
    special = [i for i in range(VOCABULARY) if not is_target(i)]
    added = [
        {"id": i, "content": names[i], "single_word": True, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for i in special
    ]
    tokens = {"[CLS]": BEGIN, "[SEP]": END}
    tokenizer = {
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {name: {"id": name, "ids": [i], "tokens": [name]} for name, i in tokens.items()},
        },
        "model": {"type": "WordLevel", "vocab": {name: i for i, name in enumerate(names)}, "unk_token": "[MASK]"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    random = torch.Generator().manual_seed(1)
    lengths = [LENGTH] * ROWS_OF_DATA
    if not full:
        lengths = torch.randint(16, LENGTH + 1, (ROWS_OF_DATA,), generator=random).tolist()
    rows = [[BEGIN, *torch.randint(4, VOCABULARY, (n - 2,), generator=random).tolist(), END] for n in lengths]
    for name, some in [("rows.jsonl", rows), ("first.jsonl", rows[:BATCH])]:
        lines = (json.dumps({"text": " ".join(names[i] for i in row[1:-1])}) for row in some)
        (folder / name).write_text("".join(line + "\n" for line in lines))
    (folder / "rows.json").write_text(json.dumps(rows))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024,
        max_position_embeddings=LENGTH, pad_token_id=PAD,
    )
    BertForMaskedLM(config).save_pretrained(folder / "model")
    return sum(lengths) / ROWS_OF_DATA * BATCH


MLM_RECIPE = """mlm 1

param dropout : fraction = 0%
param updates : count    = 100k steps

data texts = text.jsonl(file: asset("rows.jsonl"), columns: ["text"])
tokenizer words = text.pretrained_tokenizer(file: asset("tokenizer.json"))
data examples = text.tokenized(source: texts, tokenizer: words, length: 128 tok)
masker mask = masking.random_tokens(tokenizer: words, rate: 100%, mask_share: 100%, maximum: 128)
model bert = transformer.masked_lm(
  vocabulary: 8192,
  layers: 4,
  hidden: 256,
  heads: 4,
  maximum_length: 128 tok,
  dropout: dropout,
  attention_dropout: dropout,
  weights: asset("model/model.safetensors"),
)
objective mlm = language_modelling.masked_cross_entropy()

step masked(batch) {
  let x = mask(batch)
  let b = bert(ids: x.ids, attention_mask: batch.attention_mask, positions: x.positions)
  loss = mlm(b.logits, x.labels)
}

phase pretrain {
  data = examples
  step = masked
  steps = updates
  batch = 32 seq
  optimizer = optimization.adamw(learning_rate: 1e-4, weight_decay: 0.01, epsilon: 1e-8, no_decay: [])
  precision = "float32"
  log_every = 1
}

arm only {}
"""


def mlm(options, name, target, full, precision, dropout):
    folder = pathlib.Path(tempfile.mkdtemp())
    tokens = mlm_files(folder, full)
    zoo = Zoo(options, folder, MLM_RECIPE)
    peer = Peer(options, "mlm", folder=str(folder), precision="float32", dropout=0.0, rows=BATCH)
    theirs = peer.ask("losses", 5)
    peer.close()
    first = ["--set", "updates=5 steps", "--set", 'texts.file=asset("first.jsonl")']
    worst = agree(zoo.losses(5, *first), theirs)
    settings = ["--set", f'pretrain.precision="{precision}"', "--set", f"dropout={dropout * 100:g}%"]
    peer = Peer(options, "mlm", folder=str(folder), precision=precision, dropout=dropout, rows=ROWS_OF_DATA)
    times = in_turn(options, lambda: zoo.bench(*settings), lambda: peer.ask("time", options.steps))
    told(options, name, target, times, (zoo.peak, peer.close()), tokens, "tokens", worst)


@row("masked-lm", 2.0)
def _(options, target):
    for precision in ("float32", "bfloat16"):
        mlm(options, f"masked-LM step, lengths 16 to 128, {precision}", target, False, precision, 0.0)


@row("masked-lm-dropout", 2.0)
def _(options, target):
    mlm(options, "masked-LM step, lengths 16 to 128, float32, dropout 10%", target, False, "float32", 0.1)


@row("masked-lm-full", 1.3)
def _(options, target):
    for precision in ("float32", "bfloat16"):
        mlm(options, f"masked-LM step, all sequences full, {precision}", target, True, precision, 0.0)


def mlm_peer(settings):
    import torch
    from transformers import BertForMaskedLM

    folder = pathlib.Path(settings["folder"])
    rate = settings["dropout"]
    model = BertForMaskedLM.from_pretrained(
        folder / "model", hidden_dropout_prob=rate, attention_probs_dropout_prob=rate, attn_implementation="sdpa"
    )
    model.train()
    rows = json.loads((folder / "rows.json").read_text())[: settings["rows"]]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, eps=1e-8, weight_decay=0.01, fused=True)
    batches = []
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        width = max(map(len, some))
        ids = torch.tensor([row + [PAD] * (width - len(row)) for row in some])
        visible = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in some])
        chosen = (ids > MASK) & (ids % 20 < 3)
        batches.append((ids.masked_fill(chosen, MASK), visible, ids.masked_fill(~chosen, -100)))
    at = 0

    def step():
        nonlocal at
        ids, visible, labels = batches[at % len(batches)]
        at += 1
        with torch.autocast("cpu", torch.bfloat16, enabled=settings["precision"] == "bfloat16"):
            loss = model(input_ids=ids, attention_mask=visible, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss

    return step


# ---- the peer's process ---------------------------------------------------------------------------------------------

PEERS = {"mlm": mlm_peer}


def peer(settings):
    import torch
    import transformers

    torch.set_num_threads(settings["threads"])
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    step = PEERS[settings["kind"]](settings)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        what, count = line.split()
        if what == "losses":
            answer = [step().item() for _ in range(int(count))]
        else:
            start = time.perf_counter()
            for _ in range(int(count)):
                step()
            answer = (time.perf_counter() - start) / int(count)
        print(json.dumps(answer), file=answers, flush=True)


def environment(folder):
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    words = sys.argv[1:]
    at = next(i for i, word in enumerate(words) if word.startswith("--environment"))
    del words[at : at + (1 if "=" in words[at] else 2)]
    os.execv(python, [str(python), __file__, *words])


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return "unknown processor"


def main():
    options = arguments()
    if options.peer:
        return peer(json.loads(options.peer))
    if options.list:
        return print("\n".join(ROWS))
    if options.environment:
        environment(options.environment)
    import torch
    import transformers

    unknown = set(options.row or []) - set(ROWS)
    if unknown:
        sys.exit(f"there is no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    print(
        f"{time.strftime('%Y-%m-%d')}, {processor()}, {options.threads} threads, torch {torch.__version__}, "
        f"transformers {transformers.__version__}, {options.rounds} rounds of {options.steps} updates\n"
    )
    print("| task | zoo | peer | times as fast | by least times | target | zoo's memory | peer's memory | losses apart |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name, (work, target) in ROWS.items():
        if not options.row or name in options.row:
            work(options, target)


if __name__ == "__main__":
    main()
