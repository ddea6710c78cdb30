// What kernels after the next will read, brought to the second-level cache while memory has little to do: up to two weights, and what the
// warps of the next layer's attention begin with, a tile of keys and one of values each.
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
};

// One thread's share of that. It is found before the kernel ahead has ended, and done once it has.
struct Errand
{
    const char *from[2];
    int bytes[2] = {};
    long long values = 0; // From keys to values, which come along.

    // Half of a block's threads have a tile each, the others 4 KB of a weight; what that does not cover stays where it is.
    __device__ __forceinline__ Errand(const Ahead &ahead, int texts, int threads)
    {
        constexpr int piece = 4096;
        const int thread = threadIdx.x, half = threads / 2, quarter = threads / 4;
        if (thread >= half)
        {
            const bool second = thread >= half + quarter;
            const int begin = ((thread - half) % quarter * gridDim.x + blockIdx.x) * piece;
            from[0] = (second ? ahead.weights[1] : ahead.weights[0]) + begin;
            bytes[0] = min(piece, (second ? ahead.bytes[1] : ahead.bytes[0]) - begin);
            return;
        }
        if (!ahead.keys) return;
        const int tile = thread * gridDim.x + blockIdx.x, head = tile / ahead.stretches;
        if (head >= texts * ahead.key_heads) return;
        const int2 cursor = ahead.cursors[head / ahead.key_heads];
        const int newest = tile % ahead.stretches * tiles_of_stretch(cursor.y, ahead.stretches) * tile_keys;
        const int count = min(tile_keys, cursor.y - newest);
        const SlotRun run = slots_of_ages(newest, count, cursor.x, ahead.capacity);
        const char *slots = ahead.keys + (long long)head * ahead.capacity * ahead.key_bytes;
        from[0] = slots + run.first * ahead.key_bytes;
        bytes[0] = run.count * ahead.key_bytes;
        from[1] = slots;
        bytes[1] = count * ahead.key_bytes - bytes[0];
        values = ahead.values - ahead.keys;
    }

    __device__ __forceinline__ void run() const
    {
#pragma unroll
        for (int i = 0; i < 2; i++)
        {
            if (bytes[i] <= 0) continue;
            prefetch_many(from[i], bytes[i]);
            if (values) prefetch_many(from[i] + values, bytes[i]);
        }
    }
};
