// What a warp makes of its stretch of keys: one query of each of HEADS heads walks it tile by tile, from newer to older.
//
// A decay is the sum of alpha over the newer ages. It is added up anew at every step: inside a tile by a scan, from tile to tile in
// a running sum, both in double. A warp knows only its own stretch, so its scores lack the newer stretches' decays, a constant; it
// hands its own sum on, and whoever joins stretches subtracts what lies between.
#pragma once
#include "elements.cuh"
#include "programmatic.cuh"
#include "ring_reads.cuh"
#include "stretch.cuh"
#include "warp.cuh"

// For lane i: the sum over the lanes before it, and over all in `total`. Infinity stays infinity: nothing is subtracted.
__device__ __forceinline__ double sum_before(double x, double &total)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int step = 1; step < 32; step <<= 1)
    {
        const double other = __shfl_up_sync(all_lanes, x, step);
        if (lane >= step) x += other;
    }
    total = __shfl_sync(all_lanes, x, 31);
    x = __shfl_up_sync(all_lanes, x, 1);
    return lane == 0 ? 0 : x;
}

struct RingSoftmax
{
    float query[HEADS][lane_features], sum_o[HEADS][lane_features], highest[HEADS], sum[HEADS];
    double decay[HEADS];

    // `read(h, feature, values)`: neighbours of a head's query, as many as a pack has. Heads past the group repeat its last; nobody writes
    // them.
    template <class Query> __device__ __forceinline__ RingSoftmax(float scale_log2, int head_count, Query read)
    {
        const int part = threadIdx.x % key_lanes;
#pragma unroll
        for (int h = 0; h < HEADS; h++)
        {
#pragma unroll
            for (int p = 0; p < packs_per_lane; p++)
            {
                const int feature = (p * key_lanes + part) * pack;
                if (feature < HEAD_SIZE) read(min(h, head_count - 1), feature, query[h] + p * pack);
#pragma unroll
                for (int i = p * pack; i < (p + 1) * pack; i++)
                {
                    query[h][i] = feature < HEAD_SIZE ? query[h][i] * scale_log2 : 0.0f;
                    sum_o[h][i] = 0;
                }
            }
            highest[h] = minus_infinity();
            sum[h] = 0;
            decay[h] = 0;
        }
    }

    // `alphas`: of the first tile, a lane each; `load_alphas(tile, alphas)` reads those of the next as soon as these have been added up.
    // The next kernel begins with the last tile where a ring is more than caches hold (STREAMS): until then what it sends for would
    // come between.
    template <class Slots, class Alphas>
    __device__ __forceinline__ void gather(Slots &fetched, const Walk &walk, float (&alphas)[HEADS], Alphas load_alphas)
    {
        const int lane = threadIdx.x % 32, key_in_read = lane / key_lanes;
        for (int tile = walk.first_tile; tile < walk.end_tile; tile++)
        {
            if (STREAMS && tile + 1 == walk.end_tile) let_next_kernel_begin();
            const bool exists = tile * tile_keys + lane < walk.count;

            // Lane i ends with the score of the tile's age i.
            float score[HEADS];
#pragma unroll
            for (int h = 0; h < HEADS; h++) score[h] = 0;
            for (int first_read = 0; first_read < reads; first_read += reads_at_once)
            {
                fetched.await_keys(tile, first_read);
#pragma unroll
                for (int r = 0; r < reads_at_once; r++)
                {
                    float product[HEADS];
#pragma unroll
                    for (int h = 0; h < HEADS; h++) product[h] = 0;
#pragma unroll
                    for (int p = 0; p < packs_per_lane; p++)
                    {
                        float k[pack];
                        fetched.values_of(r, p, k);
#pragma unroll
                        for (int h = 0; h < HEADS; h++)
                        {
#pragma unroll
                            for (int i = 0; i < pack; i++) product[h] = fmaf(query[h][p * pack + i], k[i], product[h]);
                        }
                    }
#pragma unroll
                    for (int h = 0; h < HEADS; h++)
                    {
#pragma unroll
                        for (int step = key_lanes / 2; step > 0; step >>= 1) product[h] += __shfl_xor_sync(all_lanes, product[h], step);
                        const float mine = __shfl_sync(all_lanes, product[h], lane % keys_per_read * key_lanes);
                        if (lane / keys_per_read == first_read + r) score[h] = mine;
                    }
                }
                fetched.release();
            }

            fetched.turn_to_values(tile);
            float rescale[HEADS];
#pragma unroll
            for (int h = 0; h < HEADS; h++)
            {
#if GATED
                double total;
                const double before = sum_before(exists ? (double)alphas[h] : 0.0, total);
                score[h] -= (float)((decay[h] + before) * log2_e);
                decay[h] += total;
#endif
                if (!exists) score[h] = minus_infinity();
                const float most = fmaxf(highest[h], warp_max(score[h]));
                rescale[h] = weight_of(highest[h], most);
                highest[h] = most;
                score[h] = weight_of(score[h], most);
                sum[h] = sum[h] * rescale[h] + score[h];
            }
            if (GATED) load_alphas(min(tile + 1, walk.end_tile - 1), alphas);

            // A tile is added up from zero and then joined: the sum over a long text is one of tiles, whose rounding errors are few.
            float tile_o[HEADS][lane_features];
#pragma unroll
            for (int h = 0; h < HEADS; h++)
            {
#pragma unroll
                for (int i = 0; i < lane_features; i++) tile_o[h][i] = 0;
            }
            for (int first_read = 0; first_read < reads; first_read += reads_at_once)
            {
                fetched.await_values(tile, first_read);
#pragma unroll
                for (int r = 0; r < reads_at_once; r++)
                {
                    float weight[HEADS];
#pragma unroll
                    for (int h = 0; h < HEADS; h++)
                        weight[h] = __shfl_sync(all_lanes, score[h], (first_read + r) * keys_per_read + key_in_read);
#pragma unroll
                    for (int p = 0; p < packs_per_lane; p++)
                    {
                        float v[pack];
                        fetched.values_of(r, p, v);
#pragma unroll
                        for (int h = 0; h < HEADS; h++)
                        {
#pragma unroll
                            for (int i = 0; i < pack; i++) tile_o[h][p * pack + i] = fmaf(weight[h], v[i], tile_o[h][p * pack + i]);
                        }
                    }
                }
                fetched.release();
            }
#pragma unroll
            for (int h = 0; h < HEADS; h++)
            {
#pragma unroll
                for (int i = 0; i < lane_features; i++) sum_o[h][i] = fmaf(sum_o[h][i], rescale[h], tile_o[h][i]);
            }
            fetched.turn_to_keys(tile + 1);
        }
    }

    // To shared memory: the warp's stretch of each head, and its sums of values.
    __device__ __forceinline__ void leave(Stretch (&stretches)[HEADS], float (&sums)[HEADS][HEAD_SIZE])
    {
        const int lane = threadIdx.x % 32, part = lane % key_lanes, key_in_read = lane / key_lanes;
#pragma unroll
        for (int h = 0; h < HEADS; h++)
        {
            sum[h] = warp_sum(sum[h]);
            if (lane == 0)
            {
                stretches[h].decay = decay[h];
                stretches[h].highest = highest[h];
                stretches[h].sum = sum[h];
            }
#pragma unroll
            for (int i = 0; i < lane_features; i++)
            {
                float x = sum_o[h][i];
#pragma unroll
                for (int step = key_lanes; step < 32; step <<= 1) x += __shfl_xor_sync(all_lanes, x, step);
                const int feature = (i / pack * key_lanes + part) * pack + i % pack;
                if (key_in_read == 0 && feature < HEAD_SIZE) sums[h][feature] = x;
            }
        }
    }
};
