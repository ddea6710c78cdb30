// After hopper_backward_fused.cu: dQ from floats in the order of accumulators to 16-bit rows, and a look at delta's errors.
//
// Defines: ELEMENT, PANELS.
#include "elements.cuh"
#include "warp.cuh"

constexpr int block_queries = 64, columns = PANELS * 64, panel_float4s = 64 * 64 / 4;

// added [B, H, blocks, PANELS, 8, 128] float4, row_sums [B, H, blocks, 64], turns [B, H, blocks] -> dq [B, T, H, D], rows [B, H, T].
// A block takes 64 positions of a head.
extern "C" __global__ void __launch_bounds__(128) query_gradient(
    const float4 *added, const float *row_sums, const int *turns, ELEMENT *dq, float *rows, float scale, int tokens, int positions, int heads, int size)
{
    __shared__ __align__(16) ELEMENT tile[block_queries][columns + 8]; // the last 8 keep banks apart
    long long slot = (long long)blockIdx.y * gridDim.x + blockIdx.x;
    int first = blockIdx.x * block_queries - (positions - tokens), head = blockIdx.y % heads, batch = blockIdx.y / heads;
    bool has_sum = turns[slot] > 0; // else its queries see nothing
    if (threadIdx.x < block_queries)
    {
        int token = first + threadIdx.x;
        if (token >= 0 && token < tokens) rows[(long long)blockIdx.y * tokens + token] = has_sum ? row_sums[slot * block_queries + threadIdx.x] : 0;
    }
    int row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
#pragma unroll
    for (int panel = 0; panel < PANELS; panel++)
    {
        const float4 *source = added + (slot * PANELS + panel) * panel_float4s + threadIdx.x;
#pragma unroll
        for (int c = 0; c < 8; c++)
        {
            float4 four = has_sum ? source[128 * c] : make_float4(0, 0, 0, 0);
            int column = panel * 64 + 8 * c + threadIdx.x % 4 * 2;
            *reinterpret_cast<unsigned *>(&tile[row][column]) = pack2<ELEMENT>(four.x * scale, four.y * scale);
            *reinterpret_cast<unsigned *>(&tile[row + 8][column]) = pack2<ELEMENT>(four.z * scale, four.w * scale);
        }
    }
    __syncthreads();
    int packs = size / 8;
    for (int i = threadIdx.x; i < block_queries * packs; i += blockDim.x)
    {
        int token = first + i / packs, pack = i % packs;
        if (token < 0 || token >= tokens) continue;
        reinterpret_cast<uint4 *>(dq + (((long long)batch * tokens + token) * heads + head) * size)[pack] =
            *reinterpret_cast<const uint4 *>(&tile[i / packs][8 * pack]);
    }
}

constexpr float negligible = 1.0f / 512; // of the sums of |dS| along queries

// rows [B, H, T], sizes [B, H, parts] -> again [B, Hkv], and delta [B, H, T] corrected where it says so. A block takes the heads of a
// key head. By Cauchy and Schwarz a head's sizes are at least as large as when they are even.
extern "C" __global__ void __launch_bounds__(512) head_errors(
    const float *rows, const float *sizes, float *delta, int *again, int tokens, int group_size, int parts)
{
    __shared__ float scratch[16];
    bool is_coarse = false;
    for (int n = 0; n < group_size; n++)
    {
        long long head = (long long)blockIdx.x * group_size + n;
        float errors = 0, size = 0;
        for (int token = threadIdx.x; token < tokens; token += blockDim.x)
        {
            float error = rows[head * tokens + token];
            errors = fmaf(error, error, errors);
        }
        for (int part = threadIdx.x; part < parts; part += blockDim.x) size += sizes[head * parts + part];
        errors = block_sum(errors, scratch);
        size = block_sum(size, scratch);
        is_coarse |= errors * tokens > negligible * negligible * size * size;
    }
    if (threadIdx.x == 0) again[blockIdx.x] = is_coarse;
    if (!is_coarse) return;
    long long first = (long long)blockIdx.x * group_size * tokens;
    for (long long i = threadIdx.x; i < (long long)group_size * tokens; i += blockDim.x) delta[first + i] += rows[first + i];
}
