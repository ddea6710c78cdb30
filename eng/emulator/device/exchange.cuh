// The emulator's exchange.cuh: whoever polls in vain lets other threads and blocks go on.
#pragma once

__device__ __forceinline__ void publish(uint2 *target, unsigned value, unsigned tag)
{
    *reinterpret_cast<volatile unsigned long long *>(target) = (unsigned long long)tag << 32 | value;
}

__device__ __forceinline__ void publish2(uint4 *target, unsigned first, unsigned second, unsigned tag)
{
    volatile uint4 &pairs = *target;
    pairs.x = first, pairs.y = tag, pairs.z = second, pairs.w = tag;
}

__device__ __forceinline__ bool emulator_has_pair(const uint4 *source, unsigned tag, uint2 &value)
{
    const volatile uint4 &pairs = *source;
    value = {pairs.x, pairs.z};
    return pairs.y == tag && pairs.w == tag;
}

__device__ __forceinline__ uint2 await_pair(const uint4 *source, unsigned tag)
{
    uint2 value;
    for (int tries = 0; !emulator_has_pair(source, tag, value); tries++) emulator::give_way("await_pair", tag, tries);
    return value;
}

template <int N> __device__ __forceinline__ void await_pairs(const uint4 *const (&sources)[N], unsigned tag, uint2 (&values)[N])
{
    bool is_missing[N];
    for (int i = 0; i < N; i++) is_missing[i] = true;
    for (int tries = 0;; tries++)
    {
        bool is_any_missing = false;
        for (int i = 0; i < N; i++)
        {
            if (is_missing[i]) is_missing[i] = !emulator_has_pair(sources[i], tag, values[i]);
            is_any_missing |= is_missing[i];
        }
        if (!is_any_missing) return;
        emulator::give_way("await_pairs", tag, tries);
    }
}
