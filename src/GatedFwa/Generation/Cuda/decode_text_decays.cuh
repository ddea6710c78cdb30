// What is known of a unit's decays before its token is: the sums of alpha between the newest age and each key's, but for the newest's
// own. It is made a layer ahead, where others are waited for: alphas are read behind the layer before's attention, added up in a warp
// behind its output, and over the warps behind its gate, each time behind a barrier that comes anyway.
#pragma once
#include "decode_text_block.cuh"
#include "ring_lanes.cuh"

static_assert(reads == key_lanes && packs_per_lane == 1, "lanes that share a key have a score each");

struct Decays : Block
{
    // A warp has 32 keys. The lane's feature in the products is part * pack; the score that it will have is the key's of age_in_tile, and
    // alphas, which are added up in the order of ages, it reads at its own place.
    const int part, key_in_read, age_in_tile, natural_age, age;
    float alphas[HEADS], bias, decay[HEADS];   // decay: what a score loses, in log2's units.
    double before[HEADS];

    __device__ __forceinline__ explicit Decays(const Block &block)
        : Block(block), part(lane % key_lanes), key_in_read(lane / key_lanes), age_in_tile(part * keys_per_read + key_in_read),
          natural_age(first_age + warp * tile_keys + lane), age(first_age + warp * tile_keys + age_in_tile), bias(0)
    {
#pragma unroll
        for (int h = 0; h < HEADS; h++) decay[h] = 0;
    }

    // From the layer's ring, and the bias that the newest's alpha wants.
    __device__ __forceinline__ void read_decays(const Layer &layer)
    {
        if (!GATED || !unit.exists) return;
        const int slot = slot_of_age(natural_age, place.cursor.x, place.cursor.y, place.capacity);
#pragma unroll
        for (int h = 0; h < HEADS; h++)
            alphas[h] = layer.alpha[(long long)(unit.first_head() + min(h, unit.head_count() - 1)) * place.capacity + slot];
        if ((int)threadIdx.x < unit.head_count()) bias = layer.bias[unit.first_head() + threadIdx.x];
    }

    // Over the newer keys of the warp.
    __device__ __forceinline__ void add_decays()
    {
        if (!GATED || !unit.exists) return;
#pragma unroll
        for (int h = 0; h < HEADS; h++)
        {
            double total;
            before[h] = sum_before(natural_age > 0 && natural_age < place.cursor.y ? (double)alphas[h] : 0.0, total);
            if (lane == 0) shared.alphas[warp][h] = total;
        }
        if ((int)threadIdx.x < unit.head_count()) shared.bias[threadIdx.x] = bias;
    }

    // And over the warps of newer keys, behind a sync.
    __device__ __forceinline__ void join_decays()
    {
        if (!GATED || !unit.exists) return;
#pragma unroll
        for (int h = 0; h < HEADS; h++)
        {
#pragma unroll
            for (int w = 0; w < warps; w++) before[h] += w < warp ? shared.alphas[w][h] : 0.0;
            decay[h] = __shfl_sync(all_lanes, (float)(before[h] * log2_e), age_in_tile);
        }
    }
};
