"""Writes tests/variants/: configurations that tests/golden does not have, with the numbers of transformers.

Run with transformers 5.23 and torch 2.11: `python variants.py FOLDER`. Every model is tiny and random, in
float32 on the CPU, without dropout and with eager attention, as those of tests/golden are; biases, norms and tables are moved off their trivial initial values. The
files are as in tests/golden, but for gradients: of each one only its sum of products with a fixed
probe, sin(1), sin(2), …, and its largest value are kept (`probe.NAME`: two numbers).
"""
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig
import transformers

TINY = dict(vocab_size=64, hidden_size=16, num_hidden_layers=3, num_attention_heads=4, intermediate_size=24)
TEXT = dict(TINY, max_position_embeddings=32)
ENCODER = dict(TEXT, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
LLAMA = dict(TEXT, num_key_value_heads=2, bos_token_id=1, eos_token_id=2, pad_token_id=0)


def rope(kind, **rest):
    return dict(rope_type=kind, rope_theta=10000.0, **rest)


CLIP = dict(model_type="clip_vision_model", hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2, image_size=8, patch_size=4)
SIGLIP = dict(CLIP, model_type="siglip_vision_model", vision_use_head=True)
LANGUAGE = dict(LLAMA, model_type="llama")
VISION = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4)
VIT = dict(VISION, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
SPEECH = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, conv_depthwise_kernel_size=3, vocab_size=12, apply_spec_augment=False, hidden_dropout=0.0, activation_dropout=0.0, attention_dropout=0.0, layerdrop=0.0)
SAMPLES = dict(SPEECH, conv_dim=[6, 8], conv_kernel=[10, 3], conv_stride=[5, 2], num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2)
FRAMES = dict(SPEECH, feature_projection_input_dim=6)

VARIANTS = {
    # Llama and its relatives.
    "llama_multi_query_tied": ("LlamaForCausalLM", dict(LLAMA, num_key_value_heads=1, tie_word_embeddings=True)),
    "llama_biases_head_size": ("LlamaForCausalLM", dict(LLAMA, attention_bias=True, mlp_bias=True, head_dim=6, hidden_act="gelu_pytorch_tanh")),
    "llama_rope_linear": ("LlamaForCausalLM", dict(LLAMA, rope_parameters=rope("linear", factor=4.0))),
    "llama_rope_dynamic": ("LlamaForCausalLM", dict(LLAMA, max_position_embeddings=8, rope_parameters=rope("dynamic", factor=2.0))),
    "llama_rope_llama3": ("LlamaForCausalLM", dict(LLAMA, head_dim=16, rope_parameters=rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16))),
    "llama_rope_yarn": ("LlamaForCausalLM", dict(LLAMA, head_dim=16, rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=8))),
    "llama_rope_yarn_bounds": ("LlamaForCausalLM", dict(LLAMA, head_dim=16, rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=8, beta_fast=16.0, beta_slow=2.0, mscale=0.8, mscale_all_dim=0.5, truncate=False))),
    "llama_rope_longrope": ("LlamaForCausalLM", dict(LLAMA, head_dim=8, original_max_position_embeddings=8, rope_parameters=rope("longrope", factor=4.0, short_factor=[1.0, 1.1, 1.2, 1.3], long_factor=[1.0, 2.0, 3.0, 4.0], original_max_position_embeddings=8))),
    "llama_classes": ("LlamaForSequenceClassification", dict(LLAMA, num_labels=4)),
    "llama_tokens": ("LlamaForTokenClassification", dict(LLAMA, num_labels=3)),
    "mistral_window": ("MistralForCausalLM", dict(LLAMA, sliding_window=3, head_dim=8, hidden_act="gelu")),
    "mistral_whole": ("MistralForCausalLM", dict(LLAMA, sliding_window=None)),
    "qwen2_windows": ("Qwen2ForCausalLM", dict(LLAMA, use_sliding_window=True, sliding_window=4, max_window_layers=1)),
    "qwen2_layer_types": ("Qwen2ForCausalLM", dict(LLAMA, use_sliding_window=True, sliding_window=3, layer_types=["sliding_attention", "full_attention", "sliding_attention"], tie_word_embeddings=True)),
    "qwen3_biases": ("Qwen3ForCausalLM", dict(LLAMA, head_dim=6, attention_bias=True, use_sliding_window=True, sliding_window=4, max_window_layers=2)),
    "gemma2_plain": ("Gemma2ForCausalLM", dict(LLAMA, head_dim=6, attn_logit_softcapping=None, final_logit_softcapping=None, query_pre_attn_scalar=9, sliding_window=4)),
    "gemma2_layer_types": ("Gemma2ForCausalLM", dict(LLAMA, head_dim=8, attn_logit_softcapping=5.0, final_logit_softcapping=3.0, sliding_window=3, layer_types=["full_attention", "full_attention", "sliding_attention"], attention_bias=True, hidden_activation="silu")),
    "phi_norms": ("PhiForCausalLM", dict(LLAMA, qk_layernorm=True, partial_rotary_factor=1.0, hidden_act="relu")),
    "phi_partial": ("PhiForCausalLM", dict(LLAMA, hidden_size=32, num_key_value_heads=4, rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.25))),
    "gpt2_scaled": ("GPT2LMHeadModel", dict(vocab_size=64, n_embd=16, n_layer=3, n_head=2, n_positions=32, n_inner=20, scale_attn_by_inverse_layer_idx=True, activation_function="relu", tie_word_embeddings=False, reorder_and_upcast_attn=False)),
    "gpt2_unscaled": ("GPT2LMHeadModel", dict(vocab_size=64, n_embd=16, n_layer=2, n_head=4, n_positions=32, scale_attn_weights=False, activation_function="silu")),
    # BERT and its relatives.
    "bert_silu_untied": ("BertForMaskedLM", dict(ENCODER, hidden_act="silu", tie_word_embeddings=False, type_vocab_size=3)),
    "bert_decoder": ("BertLMHeadModel", dict(ENCODER, is_decoder=True, hidden_act="gelu_new")),
    "bert_pooler": ("BertModel", dict(ENCODER, hidden_act="relu")),
    "camembert_mlm": ("CamembertForMaskedLM", dict(ENCODER, type_vocab_size=1, pad_token_id=1)),
    "camembert_classes": ("CamembertForSequenceClassification", dict(ENCODER, type_vocab_size=1, num_labels=3)),
    "roberta_tokens": ("RobertaForTokenClassification", dict(ENCODER, type_vocab_size=1, num_labels=5, hidden_act="gelu_new")),
    "electra_sizes": ("ElectraForMaskedLM", dict(ENCODER, embedding_size=8, hidden_act="relu")),
    "electra_classes": ("ElectraForSequenceClassification", dict(ENCODER, embedding_size=16, num_labels=3)),
    "esm_absolute": ("EsmForMaskedLM", dict(ENCODER, position_embedding_type="absolute", token_dropout=False, emb_layer_norm_before=True, pad_token_id=1, mask_token_id=5)),
    "esm_before": ("EsmForMaskedLM", dict(ENCODER, position_embedding_type="rotary", token_dropout=True, emb_layer_norm_before=True, pad_token_id=1, mask_token_id=5)),
    "modernbert_windows": ("ModernBertForMaskedLM", dict(TEXT, num_hidden_layers=4, global_attn_every_n_layers=2, local_attention=4, pad_token_id=0, attention_bias=True, mlp_bias=True, norm_bias=True, classifier_bias=True, hidden_activation="silu")),
    "modernbert_mean": ("ModernBertForSequenceClassification", dict(TEXT, local_attention=6, pad_token_id=0, classifier_pooling="mean", num_labels=3, decoder_bias=False)),
    "modernbert_tokens": ("ModernBertForTokenClassification", dict(TEXT, local_attention=6, pad_token_id=0, num_labels=3)),
    "deberta_v3": ("DebertaV2ForMaskedLM", dict(ENCODER, relative_attention=True, position_buckets=4, norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type="p2c|c2p", position_biased_input=False, type_vocab_size=0)),
    "deberta_v2_convolution": ("DebertaV2ForMaskedLM", dict(ENCODER, relative_attention=True, position_buckets=6, max_relative_positions=12, norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type="p2c|c2p", position_biased_input=False, type_vocab_size=0, conv_kernel_size=3, conv_act="gelu")),
    "deberta_v2_own_maps": ("DebertaV2ForMaskedLM", dict(ENCODER, relative_attention=True, max_relative_positions=6, share_att_key=False, pos_att_type=["p2c"], position_biased_input=True, type_vocab_size=2)),
    "deberta_v2_content": ("DebertaV2ForTokenClassification", dict(ENCODER, relative_attention=True, max_relative_positions=6, share_att_key=False, pos_att_type=["c2p"], position_biased_input=True, type_vocab_size=0, num_labels=3, embedding_size=8)),
    "deberta_v2_absolute": ("DebertaV2ForSequenceClassification", dict(ENCODER, relative_attention=False, position_biased_input=True, type_vocab_size=0, num_labels=3, pooler_hidden_act="gelu")),
    # Encoder and decoder.
    "t5_gated": ("T5ForConditionalGeneration", dict(vocab_size=64, d_model=16, d_kv=6, d_ff=24, num_layers=2, num_decoder_layers=3, num_heads=3, feed_forward_proj="gated-gelu", relative_attention_num_buckets=8, relative_attention_max_distance=10, dropout_rate=0.0, decoder_start_token_id=0)),
    "t5_gated_silu": ("T5ForConditionalGeneration", dict(vocab_size=64, d_model=16, d_kv=4, d_ff=24, num_layers=3, num_heads=4, feed_forward_proj="gated-silu", tie_word_embeddings=False, dropout_rate=0.0, decoder_start_token_id=0)),
    # A vision tower and a language model.
    "llava_several_layers": ("LlavaForConditionalGeneration", dict(vision_config=CLIP, text_config=LANGUAGE, image_token_index=4, vision_feature_layer=[0, -1, 2], vision_feature_select_strategy="full", projector_hidden_act="relu", multimodal_projector_bias=False)),
    "llava_siglip_qwen2": ("LlavaForConditionalGeneration", dict(vision_config=SIGLIP, text_config=dict(LANGUAGE, model_type="qwen2", tie_word_embeddings=True), image_token_index=4, vision_feature_layer=-1, vision_feature_select_strategy="full")),
    "llava_mistral_window": ("LlavaForConditionalGeneration", dict(vision_config=CLIP, text_config=dict(LANGUAGE, model_type="mistral", sliding_window=6), image_token_index=4, vision_feature_layer=1, projector_hidden_act="gelu_pytorch_tanh")),
    # Vision.
    "vit_rectangle": ("ViTForImageClassification", dict(VIT, image_size=(8, 16), patch_size=(4, 2), qkv_bias=False, hidden_act="silu", num_labels=3)),
    "vit_larger": ("ViTModel", dict(VIT, pooler_output_size=6, pooler_act="relu")),
    "vit_mae_pixels": ("ViTMAEForPreTraining", dict(VIT, decoder_hidden_size=12, decoder_num_hidden_layers=1, decoder_num_attention_heads=2, decoder_intermediate_size=16, norm_pix_loss=True, mask_ratio=0.5)),
    "clip_larger": ("CLIPVisionModel", dict(VISION, hidden_act="gelu")),
    "siglip_larger": ("SiglipVisionModel", dict(VISION, vision_use_head=False)),
    "beit_shared": ("BeitForImageClassification", dict(VIT, use_shared_relative_position_bias=True, use_absolute_position_embeddings=True, use_mean_pooling=True, layer_scale_init_value=0.0, drop_path_rate=0.0, num_labels=3)),
    "beit_first": ("BeitForImageClassification", dict(VIT, use_relative_position_bias=True, use_mean_pooling=False, layer_scale_init_value=0.2, drop_path_rate=0.0, num_labels=3)),
    # Speech.
    "conformer_rotary": ("Wav2Vec2ConformerForCTC", dict(SAMPLES, position_embeddings_type="rotary", feat_extract_norm="layer", conv_bias=True, hidden_act="swish", rotary_embedding_base=500)),
    "conformer_none": ("Wav2Vec2ConformerModel", dict(SAMPLES, position_embeddings_type=None, feat_extract_activation="relu", mask_time_prob=0.0)),
    "conformer_fewer": ("Wav2Vec2ConformerForCTC", dict(SAMPLES, add_adapter=True, num_adapter_layers=2, output_hidden_size=12, ctc_loss_reduction="mean", layer_norm_eps=1e-3)),
    "conformer_hidden": ("Wav2Vec2ConformerModel", dict(SAMPLES, apply_spec_augment=True, max_source_positions=5)),
    "w2v_bert_distances": ("Wav2Vec2BertForCTC", dict(FRAMES, left_max_position_embeddings=3, right_max_position_embeddings=2, hidden_act="gelu", ctc_zero_infinity=True, layer_norm_eps=1e-3)),
    "w2v_bert_relative": ("Wav2Vec2BertModel", dict(FRAMES, position_embeddings_type="relative", apply_spec_augment=True)),
    "w2v_bert_rotary": ("Wav2Vec2BertForCTC", dict(FRAMES, position_embeddings_type="rotary", conv_depthwise_kernel_size=5)),
    "w2v_bert_none": ("Wav2Vec2BertModel", dict(FRAMES, position_embeddings_type=None, mask_time_prob=0.0)),
    "w2v_bert_fewer": ("Wav2Vec2BertForCTC", dict(FRAMES, add_adapter=True, num_adapter_layers=2, output_hidden_size=12, adapter_act="gelu", use_intermediate_ffn_before_adapter=True)),
    # Keys that are left out of config.json are what transformers takes without them.
    "gemma2_left_out": ("Gemma2ForCausalLM", dict(LLAMA, hidden_size=4, num_hidden_layers=2, num_key_value_heads=4, head_dim=256, query_pre_attn_scalar=9, sliding_window=4096), ["num_key_value_heads", "head_dim", "sliding_window", "attn_logit_softcapping", "final_logit_softcapping", "tie_word_embeddings"]),
    "qwen3_left_out": ("Qwen3ForCausalLM", dict(LLAMA, num_hidden_layers=1, num_attention_heads=32, num_key_value_heads=32, head_dim=128, hidden_size=4), ["num_key_value_heads", "head_dim", "attention_bias", "layer_types"]),
    # transformers rotates whole heads of Llama, whatever this says.
    "llama_partial": ("LlamaForCausalLM", dict(LLAMA, rope_parameters=dict(rope_type="default", rope_theta=500.0, partial_rotary_factor=0.5), hidden_act="hardswish")),
    "beit_pooled": ("BeitModel", dict(VIT, use_mean_pooling=False, use_relative_position_bias=True, drop_path_rate=0.0, hidden_act="leaky_relu")),
    "bart_untied": ("BartForConditionalGeneration", dict(vocab_size=64, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=4, encoder_ffn_dim=20, decoder_ffn_dim=28, max_position_embeddings=32, scale_embedding=True, activation_function="relu6", dropout=0.0, tie_word_embeddings=False)),
    "bart_uneven": ("BartForConditionalGeneration", dict(vocab_size=64, d_model=16, encoder_layers=1, decoder_layers=3, encoder_attention_heads=2, decoder_attention_heads=4, encoder_ffn_dim=20, decoder_ffn_dim=28, max_position_embeddings=32, scale_embedding=True, activation_function="relu", dropout=0.0)),
}


def sound(config, name, generator):
    """Sounds of which the second is padded; some frames are hidden where the configuration hides any."""
    if config.model_type == "wav2vec2-bert":
        given, length, frames = dict(input_features=torch.randn(2, 14, 6, generator=generator)), 9, 14
    else:
        given, length, frames = dict(input_values=torch.randn(2, 200, generator=generator)), 140, 19
    mask = torch.ones(next(iter(given.values())).shape[:2], dtype=torch.long)
    mask[1, length:] = 0
    given["attention_mask"] = mask
    if config.apply_spec_augment:
        given["mask_time_indices"] = torch.rand(2, frames, generator=generator) < 0.4
    return given


def images(config, name, generator):
    sides = config.image_size if isinstance(config.image_size, (tuple, list)) else [config.image_size] * 2
    if "larger" in name:
        sides = [12, 20]
    given = dict(pixel_values=torch.randn(2, 3, *sides, generator=generator))
    if config.model_type == "vit_mae":
        given["noise"] = torch.rand(2, 4, generator=generator)
    return given


def seen(config, name, generator):
    """Texts with image tokens: two images in the first, one in the second."""
    ids = torch.randint(6, config.text_config.vocab_size, (2, 16), generator=generator)
    mask = torch.ones_like(ids)
    ids[1, 11:], mask[1, 11:] = 0, 0
    patches = 4 + (config.vision_feature_select_strategy == "full" and config.vision_config.model_type == "clip_vision_model")
    ids[0, 1 : 1 + patches] = ids[0, 8 : 8 + patches] = ids[1, 3 : 3 + patches] = config.image_token_index
    return dict(input_ids=ids, attention_mask=mask, pixel_values=torch.randn(3, 3, 8, 8, generator=generator))


def inputs(config, name, generator):
    if config.model_type == "llava":
        return seen(config, name, generator)
    if hasattr(config, "conv_depthwise_kernel_size"):
        return sound(config, name, generator)
    if hasattr(config, "image_size"):
        return images(config, name, generator)
    length = 14
    low = 6
    ids = torch.randint(low, config.vocab_size, (2, length), generator=generator)
    mask = torch.ones_like(ids)
    padding = config.pad_token_id if config.pad_token_id is not None else 0
    left = any(part in name for part in ("llama", "mistral", "qwen", "gemma", "phi", "gpt2"))
    # Padding is on the right, where causal models have the same numbers as without.
    ids[1, 10:], mask[1, 10:] = padding, 0
    given = dict(input_ids=ids, attention_mask=mask)
    if name.startswith("esm"):
        ids[0, 3] = ids[1, 2] = config.mask_token_id
    if not left and not getattr(config, "is_decoder", False) and getattr(config, "type_vocab_size", 0) and config.type_vocab_size > 1:
        given["token_type_ids"] = torch.randint(0, config.type_vocab_size, ids.shape, generator=generator)
    return given


def labels(kind, config, given, generator):
    if kind.endswith("ForCTC"):
        made = torch.randint(1, config.vocab_size, (2, 3), generator=generator)
        made[1, 2] = -100
        return made
    if kind.endswith(("ForSequenceClassification", "ForImageClassification")):
        return torch.randint(0, config.num_labels, (2,), generator=generator)
    ids, mask = given["input_ids"], given["attention_mask"]
    if kind.startswith("Llava"):
        return ids.masked_fill((mask == 0) | (ids == config.image_token_index), -100)
    if kind.endswith("ForTokenClassification"):
        return torch.randint(0, config.num_labels, ids.shape, generator=generator).masked_fill(mask == 0, -100)
    if kind.endswith("ForConditionalGeneration"):
        made = torch.randint(6, config.vocab_size, (2, 7), generator=generator)
        made[1, 5:] = -100
        return made
    made = torch.randint(6, config.vocab_size, ids.shape, generator=generator)
    if "CausalLM" in kind or "LMHead" in kind:
        made = ids.clone()
    return made.masked_fill(mask == 0, -100)


def write(folder, name):
    kind, settings, *left_out = VARIANTS[name]
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    torch.manual_seed(sum(map(ord, name)))
    cls = getattr(transformers, kind)
    model = cls._from_config(cls.config_class(**settings), attn_implementation="eager").eval()
    config = model.config
    if hasattr(config, "pad_token_id") and kind.endswith("ForSequenceClassification") and config.pad_token_id is None:
        config.pad_token_id = 0
    with torch.no_grad():
        for parameter_name, parameter in list(model.named_parameters()) + [
            (n, b) for n, b in model.named_buffers() if n.endswith("final_logits_bias")
        ]:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise * (0.2 if parameter.dim() == 1 else 0.1))
        for buffer_name, buffer in model.named_buffers():
            # What batch norms saw in training.
            if buffer_name.endswith("running_mean"):
                buffer.add_(torch.randn(buffer.shape, generator=generator) * 0.2)
            if buffer_name.endswith("running_var"):
                buffer.mul_(torch.rand(buffer.shape, generator=generator) + 0.5)
    given = inputs(config, name, generator)
    more = dict(interpolate_pos_encoding=True) if "larger" in name else {}
    tensors = {f"in.{key}": value for key, value in given.items()}
    if kind.endswith("Model"):
        out = model(**given, **more, output_hidden_states=True)
        probe = torch.randn(out.last_hidden_state.shape, generator=generator)
        loss = (out.last_hidden_state * probe).sum()
        tensors |= {"in.probe": probe, "out.last_hidden_state": out.last_hidden_state}
        if getattr(out, "pooler_output", None) is not None:
            tensors["out.pooler_output"] = out.pooler_output
        states = out.hidden_states
    elif kind == "ViTMAEForPreTraining":
        out = model(**given, output_hidden_states=True)
        tensors["out.logits"] = out.logits
        loss, states = out.loss, out.hidden_states
    else:
        made = labels(kind, config, given, generator)
        out = model(**given, labels=made, output_hidden_states=True)
        loss = out.loss
        tensors |= {"in.labels": made, "out.logits": out.logits}
        states = out.encoder_hidden_states if getattr(config, "is_encoder_decoder", False) else out.hidden_states
        if getattr(config, "is_encoder_decoder", False):
            tensors |= {f"out.decoder_hidden_states.{i}": s for i, s in enumerate(out.decoder_hidden_states)}
    tensors |= {f"out.hidden_states.{i}": s for i, s in enumerate(states) if i in (0, len(states) - 1)}
    loss.backward()
    tensors["loss"] = loss.reshape(1)
    target = Path(folder) / name
    model.save_pretrained(target)
    saved = load_file(target / "model.safetensors")
    for parameter_name, parameter in model.named_parameters(remove_duplicate=False):
        # Of the names of tied weights, the file keeps one.
        stored = parameter_name in saved or not hasattr(config, "vocab_size") or hasattr(config, "conv_depthwise_kernel_size")
        stored = stored or kind.startswith(("Llava", "Beit"))
        if kind.startswith("Llava") and config.tie_word_embeddings and parameter_name == "lm_head.weight":
            continue
        if parameter.grad is not None and stored:
            flat = parameter.grad.double().flatten()
            probe = torch.arange(1, flat.numel() + 1, dtype=torch.float64).sin()
            tensors[f"probe.{parameter_name}"] = torch.stack([(flat * probe).sum(), flat.abs().max()])
    if left_out:
        config = json.loads((target / "config.json").read_text())
        kept = {key: value for key, value in config.items() if key not in left_out[0]}
        (target / "config.json").write_text(json.dumps(kept, indent=2) + "\n")
    (target / "generation_config.json").unlink(missing_ok=True)
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, target / "oracle.safetensors")


if __name__ == "__main__":
    wanted = sys.argv[2:] or list(VARIANTS)
    for name in wanted:
        write(sys.argv[1], name)
        print(name, file=sys.stderr)
