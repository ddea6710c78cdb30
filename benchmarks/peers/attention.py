"""Times public attention kernels at the shapes of `gatedfwa bench attention --device cuda` and prints one table.

    python benchmarks/peers/attention.py [--gatedfwa COMMAND] [--json]

FlexAttention gets the same band (the query and the W - 1 keys before it) and no gate; SDPA attends to everything before the query,
for scale. Times are medians of rows of launches between two events: forward alone, backward alone. With --gatedfwa the command is run
on the same GPU afterwards and its times stand in the same table.
"""
import argparse
import json
import math
import shlex
import statistics
import subprocess

import torch
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

BATCH, HEADS, TOKENS = 4, 16, 8192
SHAPES = [(64, 512), (64, 2048), (128, 512), (128, 2048)]
SAMPLES, SAMPLE_MS, WARM_UPS = 9, 20, 3  # as `gatedfwa bench`


def milliseconds(work):
    """The median time of one call among rows of calls, so that the host is always ahead of the GPU.

    What `gatedfwa bench` does: rows of 20 ms, one that does not count after large products, since a hot GPU has a lower clock.
    """

    def row(calls):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(calls):
            work()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / calls

    once = [row(1) for _ in range(WARM_UPS)][-1]
    repeats = max(1, math.ceil(SAMPLE_MS / once))
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for _ in range(8):
        a @ a
    row(repeats)
    return statistics.median(row(repeats) for _ in range(SAMPLES))


def timed(attend, head_size):
    """Forward and backward milliseconds of a function of q, k and v [B, H, T, D]."""
    q, k, v = (torch.randn(BATCH, HEADS, TOKENS, head_size, device="cuda", dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    upstream = torch.randn_like(q)
    with torch.no_grad():
        forward = milliseconds(lambda: attend(q, k, v))
    o = attend(q, k, v)
    backward = milliseconds(lambda: torch.autograd.grad(o, (q, k, v), upstream, retain_graph=True))
    return forward, backward


def flex(window):
    def band(batch, head, query, key):
        return (key <= query) & (query - key < window)

    mask = create_block_mask(band, None, None, TOKENS, TOKENS, device="cuda")
    compiled = torch.compile(flex_attention)
    return lambda q, k, v: compiled(q, k, v, block_mask=mask)


def causal(q, k, v):
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def measured_by(command):
    """The rows of `gatedfwa bench attention`: what -> median milliseconds."""
    run = subprocess.run(
        [*shlex.split(command), "bench", "attention", "--device", "cuda", "--json"], capture_output=True, text=True, check=True)
    return {row["what"]: row["median"] for row in json.loads(run.stdout)["rows"] if row["unit"] == "ms"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gatedfwa", metavar="COMMAND", help="how to start gatedfwa, to time it, too")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("PyTorch sees no NVIDIA GPU here; run this on a machine with one.")

    rows = []
    for head_size, window in SHAPES:
        torch.compiler.reset()
        rows.append((f"D{head_size} W{window}", "FlexAttention, no gate", *timed(flex(window), head_size)))
    for head_size in sorted({head_size for head_size, _ in SHAPES}):
        rows.append((f"D{head_size} causal", "SDPA", *timed(causal, head_size)))
    if options.gatedfwa:
        ours = measured_by(options.gatedfwa)
        for head_size, window in SHAPES:
            for gate, label in ((" gate", "GatedFwa, gate on"), ("", "GatedFwa, gate off")):
                name = f"D{head_size} W{window}"
                rows.append((name, label, ours[f"{name}{gate} forward"], ours[f"{name}{gate} backward"]))

    if options.json:
        print(json.dumps([dict(zip(("shape", "kernels", "forward_ms", "backward_ms"), row)) for row in rows], indent=2))
        return
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, bfloat16, B{BATCH} H{HEADS} T{TOKENS}")
    print(f"{'shape':<14} {'kernels':<24} {'forward ms':>11} {'backward ms':>12}")
    shapes = list(dict.fromkeys(shape for shape, *_ in rows))
    for shape, kernels, forward, backward in sorted(rows, key=lambda row: shapes.index(row[0])):
        print(f"{shape:<14} {kernels:<24} {forward:>11.3f} {backward:>12.3f}")


if __name__ == "__main__":
    main()
