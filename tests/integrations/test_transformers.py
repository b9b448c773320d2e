"""The callback in a real Trainer of Hugging Face."""

import pytest
import torch

import lilnetx_cli as lilnetx
import lnx
from tests.nn.making import fill, words

transformers = pytest.importorskip("transformers")
from lilnetx_cli.errors import UsageError  # noqa: E402
from lilnetx_cli.integrations.transformers import CompressorCallback  # noqa: E402

STEPS = 12


def network():
    """A small OPT: learned positions, biases, a head tied to the embedding."""
    config = transformers.OPTConfig(
        vocab_size=40, hidden_size=16, ffn_dim=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=16, word_embed_proj_dim=16,
        dropout=0.0, pad_token_id=1, bos_token_id=2, eos_token_id=2,
    )  # fmt: skip
    return fill(transformers.OPTForCausalLM(config))


def batch():
    tokens = 3 + words(32, 12, count=37)
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}


def examples():
    tokens = batch()["input_ids"]
    return [{"input_ids": row, "labels": row} for row in tokens]


def trained(folder, steps=STEPS, resume=None):
    torch.manual_seed(0)  # of the densities
    model = network()
    compressor = lilnetx.Compressor(
        model, batch(), steps=STEPS, start="random", target_size=4000
    )
    optimizer = torch.optim.AdamW(compressor.parameter_groups(lr=1e-3))
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=4,
        gradient_accumulation_steps=2, save_steps=6, logging_steps=3, report_to=[],
        use_cpu=True, disable_tqdm=True, lr_scheduler_type="constant",
    )  # fmt: skip
    trainer = transformers.Trainer(
        model, arguments, train_dataset=examples(), optimizers=(optimizer, None),
        callbacks=[CompressorCallback(compressor)],
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=resume)
    return compressor


def test_a_training_ends_at_its_size(tmp_path):
    compressor = trained(tmp_path)
    assert compressor.step == STEPS
    final = compressor.finalize()
    assert lilnetx.save(final, tmp_path / "model.lnx") <= 4000
    kinds = {t.name: t.kind for t in lnx.summary(tmp_path / "model.lnx").tensors}
    assert kinds["lm_head.weight"] == "alias"
    again = lilnetx.load_model(tmp_path / "model.lnx", model=network())
    with torch.no_grad():
        one, two = again(**batch()).logits, final.model(**batch()).logits
    assert torch.equal(one, two)


def test_layers_of_hugging_face_have_latents_where_they_are_included(tmp_path):
    config = transformers.GPT2Config(
        vocab_size=40, n_positions=16, n_embd=16, n_layer=1, n_head=2,
        bos_token_id=2, eos_token_id=2,
    )  # fmt: skip
    model = fill(transformers.GPT2LMHeadModel(config))
    own = transformers.pytorch_utils.Conv1D
    compressor = lilnetx.Compressor(model, batch(), steps=2, include=[own])
    optimizer = torch.optim.Adam(compressor.parameter_groups(lr=1e-3))
    compressor.attach(optimizer)
    for _ in range(2):
        loss = model(**batch(), labels=batch()["input_ids"]).loss
        optimizer.zero_grad()
        (loss + compressor.penalty().total).backward()
        optimizer.step()
    final = compressor.finalize()
    lilnetx.save(final, tmp_path / "model.lnx")
    kinds = {t.name: t.kind for t in lnx.summary(tmp_path / "model.lnx").tensors}
    layers = [name for name, m in model.named_modules() if isinstance(m, own)]
    assert len(layers) == 4
    assert {kinds[f"{name}.weight"] for name in layers} == {"latent"}
    again = lilnetx.load_model(
        tmp_path / "model.lnx", model=transformers.GPT2LMHeadModel(config)
    )
    with torch.no_grad():
        one, two = again(**batch()).logits, final.model(**batch()).logits
    assert torch.equal(one, two)


def test_a_training_goes_on_from_a_checkpoint(tmp_path):
    whole = trained(tmp_path / "whole").model.state_dict()
    trained(tmp_path / "half", steps=6)
    resumed = trained(tmp_path / "half", resume=str(tmp_path / "half" / "checkpoint-6"))
    assert resumed.step == STEPS
    state = resumed.model.state_dict()
    assert all(torch.equal(state[name], whole[name]) for name in whole)


def test_scaled_gradients_are_refused(tmp_path):
    arguments = transformers.TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    arguments.fp16, arguments.max_grad_norm = True, 0.0
    compressor = lilnetx.Compressor(network(), batch(), steps=2)
    with pytest.raises(UsageError, match="scaled gradients"):
        CompressorCallback(compressor).on_train_begin(arguments, None, None)
