"""A tiny language model that `transformers serve` can serve: a random Llama and a byte-level BPE trained here."""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TEXTS = ["The ferry crosses the lake at noon.", "Why does bread rise? Yeast makes gas.", "Count: 0 1 2 3 4 5."]


def save_tiny_llama(folder: Path) -> Path:
    """0.1 million random parameters: its answers are noise, but it answers like any other."""
    import torch
    import transformers
    from tokenizers import ByteLevelBPETokenizer

    raw = ByteLevelBPETokenizer()
    raw.train_from_iterator(TEXTS * 20, vocab_size=400, special_tokens=["<s>", "</s>", "<|user|>", "<|assistant|>"])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw._tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        bos_token_id=0,
        eos_token_id=1,
    )
    model = transformers.LlamaForCausalLM(config)
    model.generation_config.do_sample = True  # else `transformers serve` does not draw, whatever the temperature
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
