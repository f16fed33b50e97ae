"""Counting and pricing."""

import os
import subprocess
import sys

import pytest

from bot.language.prices import chat_cost, dearest, likely_cost, price_at, price_of, priced_models, training_cost
from bot.language.tokens import count, count_many


def test_known_counts():
    assert count("") == 0
    assert count("hello world") == 2
    assert count_many(["hello world", "<|endoftext|>", "a\ud800"]) == [2, 7, 2]


@pytest.mark.parametrize("text", [" " * 1_200_000, "\n" * 1_200_000])
def test_a_hostile_text_does_not_bring_the_tokenizer_down(text):
    assert count(text) > 0


def test_counting_works_offline_and_leaves_nothing_behind(tmp_path):
    code = (
        "import socket\n"
        "def refuse(*_): raise OSError('no network')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "import os\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from bot.language.tokens import count\n"
        "with ThreadPoolExecutor(4) as pool: print(set(pool.map(count, ['hello world'] * 8)))\n"
        "print(os.environ.get('TIKTOKEN_CACHE_DIR'))"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path), "TIKTOKEN_CACHE_DIR": "/nowhere"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["{2}", "/nowhere"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "training"),
    [
        ("gpt-4.1-mini", 5.0),
        ("gpt-4.1-mini-2025-04-14", 5.0),
        ("ft:gpt-4o-mini-2024-07-18:org:suffix:AbC123", 3.0),
        ("ft:gpt-4.1-2025-04-14:org::x:ckpt-step-90", 25.0),
        ("gpt-6-luna", None),
    ],
)
def test_prices_by_every_kind_of_name(model, training):
    price = price_of(model)
    assert price is not None
    assert price.training == training


@pytest.mark.parametrize("model", ["", "ft:", "ft::", "llama-3", "gpt-4.1-mini-latest", "ft:llama:org::1"])
def test_unknown_models_have_no_price(model):
    assert price_of(model) is None


def test_costs():
    assert chat_cost("gpt-4.1-mini", 1_000_000, 1_000_000) == pytest.approx(4.0)
    assert chat_cost("gpt-4.1-mini", 1_000_000, 0, cached_tokens=500_000) == pytest.approx(0.5)
    assert training_cost("gpt-4.1-mini", 100_000, 3, None) == pytest.approx(1.5)
    assert training_cost("gpt-4.1-mini", 100_000, 3, 1.0) == pytest.approx(0.3)
    assert training_cost("gpt-4.1-mini", 100_000, 3, 0.0) == 0.0


def test_an_unknown_model_costs_the_most():
    top = dearest()
    for name in priced_models():
        price = price_of(name)
        assert price is not None
        assert top.input >= price.input
        assert top.cached >= price.cached
        assert top.output >= price.output
        assert (top.training or 0.0) >= (price.training or 0.0)
    assert chat_cost("unknown", 1_000_000, 1_000_000) == pytest.approx(top.input + top.output)
    assert training_cost("unknown", 1_000_000, 1, None) == top.training
    assert training_cost("gpt-6-luna", 1_000_000, 1, None) == top.training


@pytest.mark.parametrize(
    "base_url",
    ["http://localhost:11434/v1", "http://127.0.0.1:8080/v1", "http://127.8.9.10/v1", "http://[::1]:8000/v1"],
)
def test_a_model_of_ones_own_on_this_machine_is_free_and_a_listed_one_is_not(base_url):
    free = price_at(base_url, "qwen3:4b")
    assert (free.training, free.input, free.cached, free.output) == (0.0, 0.0, 0.0, 0.0)
    assert chat_cost("qwen3:4b", 1_000_000, 1_000_000, base_url=base_url) == 0.0
    assert price_at(base_url, "gpt-6-luna") == price_of("gpt-6-luna")
    assert chat_cost("gpt-6-luna", 1_000_000, 0, base_url=base_url) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "https://api.openai.com/v1",
        "http://192.168.1.5:11434/v1",
        "http://localhost.example/v1",
        "http://127.0.0.1.example/v1",
        "http://127.0.0.1@example/v1",
        "http://[::1",
        "127.0.0.1",
    ],
)
def test_an_unknown_model_elsewhere_costs_the_most(base_url):
    assert price_at(base_url, "qwen3:4b") == dearest()


def test_the_likely_cost_counts_what_is_cached_from_the_second_call_on():
    def cost(same, calls):
        return likely_cost("gpt-6-luna", same_tokens=same, other_tokens=100, output_tokens=200, calls=calls).dollars

    assert cost(5_000, 0) == 0.0
    assert cost(5_000, 1) == pytest.approx(chat_cost("gpt-6-luna", 5_100, 200))
    assert cost(5_000, 3) == pytest.approx(cost(5_000, 1) + 2 * chat_cost("gpt-6-luna", 5_100, 200, 4_992))
    assert cost(1_023, 3) == pytest.approx(3 * chat_cost("gpt-6-luna", 1_123, 200)), "too short to be cached"
