"""Times dense causal attention (SDPA) at the shapes of `gatedfwa bench native-sparse --device cuda`, which is compared with it.

    python benchmarks/peers/native_sparse.py
"""
import argparse

import torch

HEADS, KEY_HEADS, HEAD_SIZE = 64, 4, 128
LENGTHS = [(8192, 8), (32_768, 3), (131_072, 1)]  # tokens, runs between two events
SAMPLES = 3


def milliseconds(work, repeats):
    """The median time of one run; the first runs are not counted."""
    work()
    times = []
    for _ in range(SAMPLES):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(repeats):
            work()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / repeats)
    return sorted(times)[SAMPLES // 2]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("PyTorch sees no NVIDIA GPU here; run this on a machine with one.")

    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, bfloat16, B1 H{HEADS} Hkv{KEY_HEADS} D{HEAD_SIZE}, SDPA, causal")
    print(f"{'tokens':>8} {'forward ms':>11} {'backward ms':>12}")
    for tokens, repeats in LENGTHS:
        q, k, v = (
            torch.randn(1, heads, tokens, HEAD_SIZE, device="cuda", dtype=torch.bfloat16, requires_grad=True)
            for heads in (HEADS, KEY_HEADS, KEY_HEADS))

        def attend():
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

        with torch.no_grad():
            forward = milliseconds(attend, repeats)
        o = attend()
        upstream = torch.randn_like(o)
        backward = milliseconds(lambda: torch.autograd.grad(o, (q, k, v), upstream, retain_graph=True), repeats)
        print(f"{tokens:>8,} {forward:>11.2f} {backward:>12.2f}", flush=True)


if __name__ == "__main__":
    main()
