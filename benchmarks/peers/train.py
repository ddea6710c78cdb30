"""Times training steps of the 124 M model of `gatedfwa bench train --device cuda` in PyTorch: the same layer without the gate and the
token shift, its window by FlexAttention, all of it under torch.compile with bfloat16 autocast and fused AdamW.

    python benchmarks/peers/train.py [--batch 8] [--tokens 4096] [--window 512]
"""
import argparse
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

VOCABULARY, WIDTH, HEADS, LAYERS, HIDDEN = 50_304, 768, 12, 12, 2048
STEPS, SAMPLES, WARM_UPS = 5, 5, 3


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.projections = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.output = nn.Linear(WIDTH, WIDTH, bias=False)
        self.query_norm, self.key_norm = nn.RMSNorm(WIDTH), nn.RMSNorm(WIDTH)

    def forward(self, x, angles, mask):
        q, k, v = self.projections(x).chunk(3, dim=-1)
        q, k = self.query_norm(q), self.key_norm(k)
        q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (q, k, v))
        o = flex_attention(turned(q, angles), turned(k, angles), v, block_mask=mask)
        return self.output(o.transpose(1, 2).flatten(-2))


def turned(x, angles):
    cosine, sine = angles
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cosine - b * sine, b * cosine + a * sine), dim=-1).to(x.dtype)


class FeedForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate, self.value = nn.Linear(WIDTH, HIDDEN, bias=False), nn.Linear(WIDTH, HIDDEN, bias=False)
        self.output = nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x):
        return self.output(F.silu(self.gate(x)) * self.value(x))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention_norm, self.feed_forward_norm = nn.RMSNorm(WIDTH), nn.RMSNorm(WIDTH)
        self.attention, self.feed_forward = Attention(), FeedForward()

    def forward(self, x, angles, mask):
        x = x + self.attention(self.attention_norm(x), angles, mask)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.RMSNorm(WIDTH)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, targets, angles, mask):
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, angles, mask)
        logits = F.linear(self.norm(x), self.embedding.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--window", type=int, default=512)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("PyTorch sees no NVIDIA GPU here; run this on a machine with one.")

    torch.set_float32_matmul_precision("high")
    tokens = torch.randint(VOCABULARY, (options.batch, options.tokens), device="cuda")
    targets = tokens.roll(-1, dims=1)
    turns = torch.arange(options.tokens, device="cuda")[:, None] * 10_000.0 ** -(torch.arange(0, WIDTH // HEADS, 2, device="cuda") / (WIDTH // HEADS))
    angles = (turns.cos(), turns.sin())
    mask = create_block_mask(
        lambda batch, head, query, key: (key <= query) & (query - key < options.window), None, None, options.tokens, options.tokens, device="cuda")
    model = Model().cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    compiled = torch.compile(model)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = compiled(tokens, targets, angles, mask)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    for _ in range(WARM_UPS):
        step()
    torch.cuda.synchronize()
    rates = []
    for _ in range(SAMPLES):
        start = time.perf_counter()
        for _ in range(STEPS):
            step()
        torch.cuda.synchronize()
        rates.append(STEPS * tokens.numel() / (time.perf_counter() - start))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}: {parameters:,} parameters, {options.batch} x {options.tokens} tokens, window {options.window}")
    print(f"{statistics.median(rates):,.0f} tokens/s ({min(rates):,.0f}-{max(rates):,.0f}), {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB at most")


if __name__ == "__main__":
    main()
