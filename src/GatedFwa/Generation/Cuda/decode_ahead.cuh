// What the kernels that follow will read, brought to the second-level cache while memory has little to do: up to two weights, and what
// the warps of the next layer's attention begin with.
#pragma once
#include "programmatic.cuh"
#include "ring_walk.cuh"

struct Ahead
{
    const char *weights[2];   // Or none.
    int bytes[2];
    const char *keys, *values; // [B, key heads, capacity] keys; or none.
    const int2 *cursors;       // As ring_decode.cu has them.
    int capacity, key_heads, key_bytes, stretches;

    // By all threads together; this is one of `threads`.
    __device__ __forceinline__ void bring(int texts, int thread, int threads) const
    {
        constexpr int line = 128;
#pragma unroll
        for (int w = 0; w < 2; w++)
            for (int i = thread * line; i < bytes[w]; i += threads * line) prefetch(weights[w] + i, 1);
        if (!keys) return;
#pragma unroll 4
        for (int i = thread; i < texts * key_heads * stretches * tile_keys; i += threads)
        {
            const int head = i / (stretches * tile_keys), stretch = i / tile_keys % stretches;
            const int2 cursor = cursors[head / key_heads];
            const int age = stretch * tiles_of_stretch(cursor.y, stretches) * tile_keys + i % tile_keys;
            const long long slot = (long long)head * capacity + slot_of_age(age, cursor.x, cursor.y, capacity);
            for (int byte = 0; byte < key_bytes; byte += line)
            {
                prefetch(keys + slot * key_bytes + byte, 1);
                prefetch(values + slot * key_bytes + byte, 1);
            }
        }
    }
};
