"""Writes the tokenizers here and oracle.json: what transformers' pipelines say with the reference models.

    python tests/inference/oracle.py

Written with transformers 5.23 and torch 2.11.
"""

import json
import pathlib
import shutil
import string
import tempfile

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, pipeline

here = pathlib.Path(__file__).parent
golden = here.parent.parent / "plugins/checkpoints/tests/golden"
SIZE = 96

CHAT = """{% for message in messages %}{{ '<s>' + message['role'] + ': ' + message['content'] | trim + '\\n' }}{% endfor %}
{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"""


def words():
    """Letters and some pieces, each also as the inside of a word."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = list(string.ascii_lowercase) + ["the", "in", "at", ".", ",", "?", "rome"]
    inside = ["##" + piece for piece in string.ascii_lowercase] + ["##ing", "##ed"]
    vocabulary = special + pieces + inside
    vocabulary += [f"[unused{i}]" for i in range(SIZE - len(vocabulary))]
    ids = {token: i for i, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=32,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def pieces():
    """Words begin with a low line that stands for a space, as SentencePiece has it."""
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    vocabulary = special + ["▁"] + list(string.ascii_lowercase) + list(".,?!:\n") + ["th", "in", "er", "▁a", "▁th"]
    vocabulary += [c for c in string.ascii_uppercase + string.digits + "'-()" if len(vocabulary) < SIZE]
    vocabulary = vocabulary[:SIZE] + [f"<unused{i}>" for i in range(SIZE - len(vocabulary))]
    ids = {token: i for i, token in enumerate(vocabulary)}
    merges = [("t", "h"), ("i", "n"), ("e", "r"), ("▁", "a"), ("▁", "th")]
    tokenizer = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)
    ])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        chat_template=CHAT, padding_side="left",
    )


def folder(name, tokenizer, labels=None):
    made = pathlib.Path(tempfile.mkdtemp()) / name
    shutil.copytree(golden / name, made)
    tokenizer.save_pretrained(made)
    if labels:
        config = json.loads((made / "config.json").read_text())
        config["id2label"] = {str(i): label for i, label in enumerate(labels)}
        config["label2id"] = {label: i for i, label in enumerate(labels)}
        (made / "config.json").write_text(json.dumps(config))
    return str(made)


def keep(tokenizer, name):
    tokenizer.save_pretrained(here / name)
    for file in (here / name).iterdir():
        if file.name not in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            file.unlink()


bert, llama = words(), pieces()
keep(bert, "words")
keep(llama, "pieces")
oracle = {}

texts = ["The [MASK] walked in.", "a [MASK] and [MASK] at rome, walking in the rain ?", "[MASK]"]
fill = pipeline("fill-mask", model=folder("bert_mlm", bert), tokenizer=bert, top_k=3, device="cpu")
made = [fill(text) for text in texts]
made = [masks if isinstance(masks[0], list) else [masks] for masks in made]
oracle["fill_mask"] = [
    {"text": text, "masks": [[{k: f[k] for k in ("score", "token")} for f in mask] for mask in masks]}
    for text, masks in zip(texts, made)
]

labels = ["contradiction", "neutral", "entailment"]
lines = ["A walk in Rome.", "raining\tIt rained, the rain."]
classify = pipeline("text-classification", model=folder("bert_cls", bert, labels), tokenizer=bert, top_k=None, device="cpu")
as_input = [{"text": l.split("\t")[0], "text_pair": l.split("\t")[1]} if "\t" in l else l for l in lines]
oracle["classify"] = {"labels": labels, "lines": lines, "made": [classify(line) for line in as_input]}

config = json.loads((golden / "bert_tok/config.json").read_text())
tags = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"][: len(config["id2label"])]
lines = ["Ada walked in the Rain at Rome, walking.", "the end"]
each = pipeline("token-classification", model=folder("bert_tok", bert, tags), tokenizer=bert, ignore_labels=[], device="cpu")
whole = pipeline(
    "token-classification", model=folder("bert_tok", bert, tags), tokenizer=bert, aggregation_strategy="simple", device="cpu"
)
clean = lambda rows, name: [
    {"entity": row[name], "score": float(row["score"]), "start": row["start"], "end": row["end"]} for row in rows
]
oracle["tag"] = {
    "labels": tags,
    "lines": lines,
    "tokens": [clean(each(line), "entity") for line in lines],
    "entities": [clean(whole(line), "entity_group") for line in lines],
}

model = AutoModelForCausalLM.from_pretrained(golden / "llama_clm").eval()
prompts = ["the rain in", "A", "walking at the"]
batch = llama(prompts, return_tensors="pt", padding=True)
oracle["generate"] = {"prompts": prompts, "made": []}
for options in [
    {},
    {"repetition_penalty": 1.5},
    {"num_beams": 3, "length_penalty": 0.5},
    {"num_beams": 2, "num_return_sequences": 2},
]:
    out = model.generate(
        batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=12, do_sample=False, pad_token_id=0,
        eos_token_id=2, **options,
    )
    new = [row[batch["input_ids"].shape[1]:] for row in out.tolist()]
    new = [row[: row.index(2) + 1] if 2 in row else row for row in new]
    made = [{"tokens": row, "text": llama.decode(row, skip_special_tokens=True)} for row in new]
    oracle["generate"]["made"].append({"options": options, "texts": made})
conversation = [{"role": "system", "content": " hi. "}, {"role": "user", "content": "at?"}]
rendered = llama.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
ids = llama(rendered, add_special_tokens=False, return_tensors="pt")["input_ids"]
out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False, pad_token_id=0, eos_token_id=2)
oracle["chat"] = {"messages": conversation, "rendered": rendered, "tokens": out[0, ids.shape[1]:].tolist()}

(here / "oracle.json").write_text(json.dumps(oracle, indent=1) + "\n")
