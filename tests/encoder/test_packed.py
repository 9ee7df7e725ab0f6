"""Packs give every sequence the vectors it has alone, whatever it is packed with; what cannot be packed is not."""

import subprocess
import sys

import numpy as np
import pytest
from encoder_help import HARD, TEXTS, TINY, WORDS, spec_of, torch, transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jql.encoder import attention
from jql.encoder.device import Device, out_of_memory
from jql.encoder.encoder import load_encoder
from jql.encoder.packed import PackedForward, can_pack, pool_packed
from jql.encoder.packing import starts_of
from jql.errors import InputError, JqlError

pytestmark = pytest.mark.usefixtures("one_thread")

SHARED = {"initializer_range": 0.2, "max_position_embeddings": 520}
LONGEST = 300
CPU = Device("cpu")


def make_net(name):
    """A tiny random model of an architecture."""
    torch.manual_seed(0)
    ids = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    windows = {**TINY, "num_hidden_layers": 4}  # every third layer of ModernBERT sees the whole text, others 128 tokens
    configs = {
        "gte": lambda: transformers.GteConfig(**TINY, **SHARED),
        "xlm-roberta": lambda: transformers.XLMRobertaConfig(**TINY, **SHARED),
        "modernbert": lambda: transformers.ModernBertConfig(**windows, **SHARED, **ids),
        "jina": lambda: transformers.JinaEmbeddingsV3Config(**TINY, **SHARED),
        "bert": lambda: transformers.BertConfig(**TINY, **SHARED),
        "qwen3": lambda: transformers.Qwen3Config(**TINY, **SHARED, num_key_value_heads=2, head_dim=8),
        "mpnet": lambda: transformers.MPNetConfig(**TINY, **SHARED),
        "t5": lambda: transformers.T5Config(vocab_size=120, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4),
    }
    config = configs[name]()
    made = transformers.T5EncoderModel if name == "t5" else transformers.AutoModel.from_config
    return made(config).eval()


PACKED = ["gte", "xlm-roberta", "modernbert", "jina", "bert", "qwen3"]


@pytest.fixture(scope="module", params=PACKED)
def pair(request):
    """A model on packs, and the same as transformers runs it."""
    plain, packed = make_net(request.param), make_net(request.param)
    with torch.inference_mode():
        assert can_pack(packed, CPU, LONGEST)
    return plain, packed


def cosines(a, b):
    return torch.nn.functional.cosine_similarity(a.float(), b.float(), dim=-1)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, LONGEST), min_size=1, max_size=6),
    seed=st.integers(0, 100),
    fixed=st.sampled_from([(), (2048,), (512, 4096)]),
    half=st.booleans(),
)
def test_any_packing_gives_each_sequence_its_own_vectors(pair, lengths, seed, fixed, half):
    plain, packed = (net.to(torch.bfloat16 if half else torch.float32) for net in pair)
    draw = np.random.default_rng(seed)
    sequences = [draw.integers(4, 120, n).tolist() for n in lengths]
    with torch.inference_mode():
        hidden = PackedForward(packed, CPU, LONGEST, None, fixed)(sequences)
        starts = torch.tensor(starts_of(lengths)).long()
        pooled = {how: pool_packed(hidden, starts, how) for how in ("cls", "mean", "last")}
        for i, ids in enumerate(sequences):
            alone = plain(input_ids=torch.tensor([ids])).last_hidden_state[0]
            assert cosines(alone, hidden[starts[i] : starts[i + 1]]).min() > 0.9999
            assert cosines(alone[0], pooled["cls"][i]) > 0.9999
            assert cosines(alone[-1], pooled["last"][i]) > 0.9999
            assert cosines(alone.float().mean(0), pooled["mean"][i]) > 0.9999
    assert all(vectors.dtype == torch.float32 for vectors in pooled.values())


@pytest.mark.parametrize("name", ["mpnet", "t5"])  # another attention of its own; positions not from the caller
def test_what_cannot_be_packed_is_found_out_and_left_as_it_was(name):
    net = make_net(name)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        before = net(input_ids=ids).last_hidden_state
        assert not can_pack(net, CPU, LONGEST)
        assert torch.equal(net(input_ids=ids).last_hidden_state, before)


def test_a_model_that_counts_positions_through_is_not_packed(monkeypatch):
    net = make_net("bert")
    forward = net.embeddings.forward
    monkeypatch.setattr(net.embeddings, "forward", lambda **inputs: forward(**{**inputs, "position_ids": None}))
    with torch.inference_mode():
        assert not can_pack(net, CPU, 100)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, LONGEST), min_size=1, max_size=6),
    fixed=st.sampled_from([(), (2048,)]),
    half=st.booleans(),
    pooling=st.sampled_from(["cls", "last", "mean"]),
)
def test_a_last_layer_for_the_pooled_tokens_alone_gives_the_same(lengths, fixed, half, pooling):
    dtype = torch.bfloat16 if half else torch.float32
    plain, packed = make_net("gte").to(dtype), make_net("gte").to(dtype)
    draw = np.random.default_rng(len(lengths))
    sequences = [draw.integers(4, 120, n).tolist() for n in lengths]
    with torch.inference_mode():
        vectors = PackedForward(packed, CPU, LONGEST, pooling, fixed)(sequences)
        for ids, vector in zip(sequences, vectors, strict=True):
            alone = plain(input_ids=torch.tensor([ids])).last_hidden_state[0].float()
            assert cosines({"cls": alone[0], "last": alone[-1], "mean": alone.mean(0)}[pooling], vector) > 0.9999
    assert vectors.dtype == torch.float32 and len(vectors) == len(lengths)
    assert (type(packed.layers[-1]).__name__ == "PooledLayer") == (pooling != "mean")


def test_one_graph_serves_all_packs_of_a_shape(monkeypatch):
    """Nothing is compiled anew for other lengths, or another number of sequences."""
    # Closed to the compiler, as the kernel of a GPU is.
    monkeypatch.setattr(attention, "_one_by_one", torch.compiler.disable(attention._one_by_one))
    import torch._dynamo as dynamo
    from torch._dynamo.utils import counters

    net = make_net("gte")
    forward = PackedForward(net, CPU, 64, None, (128, 256))
    dynamo.reset()
    counters.clear()
    forward._run = torch.compile(net, dynamic=False, backend="eager")
    draw = np.random.default_rng(0)
    with torch.inference_mode():
        seen = []
        for total in (100, 200, 128, 50, 256, 130):
            count = int(draw.integers(2, 9))
            lengths = draw.multinomial(total - count, [1 / count] * count) + 1
            forward([draw.integers(4, 120, min(n, 64)).tolist() for n in lengths])
            seen.append(counters["stats"]["unique_graphs"])
    assert seen[1] > seen[0] and set(seen[2:]) == {seen[1]}
    dynamo.reset()


def test_a_machine_that_cannot_compile_runs_the_model_as_it_is():
    net, draw = make_net("gte"), np.random.default_rng(0)
    forward = PackedForward(net, CPU, 64, "mean", (128,))
    sequences = [draw.integers(4, 120, n).tolist() for n in (30, 5, 61)]

    def broken(graph, inputs):
        raise RuntimeError("no C compiler")

    with torch.inference_mode():
        expected = forward(sequences)
        forward._run = torch.compile(net, dynamic=False, backend=broken)
        with pytest.warns(UserWarning, match="the encoder runs uncompiled, which is slower: .*no C compiler"):
            assert torch.equal(forward(sequences), expected)
        assert torch.equal(forward(sequences), expected)
    torch._dynamo.reset()


def test_a_sentence_transformers_model_is_packed_and_means_the_same(bert):
    from sentence_transformers import SentenceTransformer

    encoder = load_encoder(spec_of(bert, kind="sentence-transformers", pooling="mean", dim=16, max_tokens=64))
    assert encoder._model.packs
    expected = SentenceTransformer(str(bert), device="cpu").encode(TEXTS)
    assert np.allclose(encoder.encode(TEXTS), expected, atol=1e-5)


def test_a_fallback_encodes_like_sentence_transformers(tokenizer, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    make_net("mpnet").save_pretrained(tmp_path / "plain")
    tokenizer.save_pretrained(tmp_path / "plain")
    modules = [Transformer(str(tmp_path / "plain")), Pooling(32, "mean")]
    SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path / "whole"))
    encoder = load_encoder(spec_of(tmp_path / "whole", kind="sentence-transformers", pooling="mean", max_tokens=500))
    assert not encoder._model.packs
    expected = SentenceTransformer(str(tmp_path / "whole"), device="cpu").encode(TEXTS)
    assert np.allclose(encoder.encode(TEXTS), expected, atol=1e-5)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(TEXTS) + len(HARD)), max_size=4), budget=st.sampled_from([20, 100, 4096]))
def test_a_stream_yields_each_batch_with_its_own_vectors(gte, cuts, budget):
    texts = [*TEXTS, *HARD, " ".join(WORDS * 30)]
    for long in ("truncate", "all"):
        encoder = load_encoder(spec_of(gte, long=long))
        encoder.budget = budget
        places = sorted(cuts)
        batches = [texts[a:b] for a, b in zip([0, *places], [*places, len(texts)], strict=True)]
        found = list(encoder.stream(iter(batches)))
        assert [len(f) for f in found] == [len(b) for b in batches]
        assert np.allclose(np.concatenate(found), encoder.encode(texts), atol=1e-5)


def test_a_stream_passes_on_the_error_of_its_texts(gte):
    def batches():
        yield TEXTS
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(load_encoder(spec_of(gte)).stream(batches()))


def breaks_over(encoder, most):
    """A fault: the model's memory runs out in batches of more tokens."""
    sizes = []

    def fault(module, args, kwargs):
        tokens = kwargs["input_ids"].numel()
        sizes.append(tokens)
        if tokens > most:
            raise torch.OutOfMemoryError("CUDA out of memory")

    encoder._model._net.register_forward_pre_hook(fault, with_kwargs=True)
    return sizes


def test_out_of_memory_halves_the_packs_and_goes_on(gte):
    expected = load_encoder(spec_of(gte)).encode(TEXTS * 40)
    encoder = load_encoder(spec_of(gte))
    sizes = breaks_over(encoder, 700)
    assert np.allclose(encoder.encode(TEXTS * 40), expected, atol=1e-5)
    assert max(sizes) > 700 and encoder.budget <= 700
    sizes.clear()
    assert np.allclose(encoder.encode(TEXTS * 40), expected, atol=1e-5)
    assert max(sizes) <= 700  # never tried again


def test_memory_that_does_not_do_for_one_sequence_says_so(gte):
    encoder = load_encoder(spec_of(gte))
    breaks_over(encoder, 10)
    with pytest.raises(
        JqlError, match=r"cpu runs out of memory on a single sequence of \d+ tokens; write a smaller max"
    ):
        encoder.encode(TEXTS)


def test_other_errors_are_not_taken_for_a_lack_of_memory(gte):
    encoder = load_encoder(spec_of(gte))

    def fault(module, args):
        raise RuntimeError("device-side assert")

    encoder._model._net.register_forward_pre_hook(fault)
    with pytest.raises(RuntimeError, match="device-side assert"):
        encoder.encode(TEXTS)
    assert encoder.budget == CPU.tokens


REAL = """
import resource, sys
import numpy as np
from jql.encoder.encoder import EncoderSpec, load_encoder
encoder = load_encoder(EncoderSpec("transformer", sys.argv[1], "", "cls", 4096, "float32", False, "", 32, "truncate"))
texts = ["light river school " * 40] * 300
first = encoder.encode(texts)
encoder.budget = whole = 1 << 19
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + (96 << 20),) * 2)
again = encoder.encode(texts)
assert np.allclose(first, again, atol=1e-5)
assert encoder.budget < whole, encoder.budget
print("budget", encoder.budget)
"""


def test_a_process_that_may_not_have_more_memory_goes_on_with_less(gte):
    """The operating system refuses: 160,000 tokens in one pack want more than the 96 MB that are left."""
    done = subprocess.run(
        [sys.executable, "-c", REAL, str(gte)], capture_output=True, text=True, timeout=120, env=_one_thread_env()
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("budget")


def _one_thread_env():
    import os

    return {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(InputError, match=r"device 'cuda:9': not on this machine; expected one of cpu"):
        Device("cuda:9")
    with pytest.raises(InputError, match="device 'toaster'"):
        Device("toaster")
    assert not out_of_memory(RuntimeError("shapes differ"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", PACKED)
def test_on_a_gpu_packs_agree_with_the_cpu(name):
    plain, packed = make_net(name).bfloat16(), make_net(name).bfloat16().cuda()
    gpu = Device("cuda")
    draw = np.random.default_rng(0)
    sequences = [draw.integers(4, 120, n).tolist() for n in (5, 290, 1, 64)]
    with torch.inference_mode():
        assert can_pack(packed, gpu, LONGEST)
        hidden = PackedForward(packed, gpu, LONGEST, None, (512,))(sequences)
        starts = starts_of([len(ids) for ids in sequences])
        for i, ids in enumerate(sequences):
            alone = plain(input_ids=torch.tensor([ids])).last_hidden_state[0]
            assert cosines(alone, hidden[starts[i] : starts[i + 1]].cpu()).min() > 0.999
