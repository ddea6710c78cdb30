// What comes before the backward kernels: delta = sum of o dO over a head. Bound by memory: as many lanes a row as have 16 bytes of
// it, and four rows of each on the way at once. No load has a branch around it: what does not exist reads something else.
//
// Defines: ELEMENT, SIZE (of a head, a multiple of 8).
#include "elements.cuh"
#include "programmatic.cuh"
#include "warp.cuh"

typedef Pack16<ELEMENT> Pack;

constexpr int lanes_for(int packs)
{
    int lanes = 1;
    while (lanes < packs && lanes < 32) lanes *= 2;
    return lanes;
}

constexpr int threads = 256, rows_per_lane = 4;
constexpr int packs = SIZE / Pack::count, lanes = lanes_for(packs), packs_per_lane = (packs + lanes - 1) / lanes;
constexpr int rows_at_once = threads / lanes, block_rows = rows_at_once * rows_per_lane;

__device__ __forceinline__ float dot(uint4 a, uint4 b)
{
    float x[Pack::count], y[Pack::count], sum = 0;
    Pack::load(reinterpret_cast<const ELEMENT *>(&a), x);
    Pack::load(reinterpret_cast<const ELEMENT *>(&b), y);
#pragma unroll
    for (int k = 0; k < Pack::count; k++) sum = fmaf(x[k], y[k], sum);
    return sum;
}

// o, gradient [B, T, H, SIZE] -> delta [B, H, T]
extern "C" __global__ void __launch_bounds__(threads) output_dot_gradient(
    const ELEMENT *__restrict__ o, const ELEMENT *__restrict__ gradient, float *__restrict__ delta, long long rows, int tokens, int heads)
{
    __shared__ float sums[block_rows];
    let_next_kernel_begin();
    const int lane = threadIdx.x % lanes, own = threadIdx.x / lanes;
    const long long first = (long long)blockIdx.x * block_rows;
    uint4 a[rows_per_lane][packs_per_lane], b[rows_per_lane][packs_per_lane];
#pragma unroll
    for (int i = 0; i < rows_per_lane; i++)
#pragma unroll
        for (int p = 0; p < packs_per_lane; p++)
        {
            const long long row = min(first + own + i * rows_at_once, rows - 1);
            const long long element = row * SIZE + min(lane + p * lanes, packs - 1) * Pack::count;
            a[i][p] = *reinterpret_cast<const uint4 *>(o + element);
            b[i][p] = *reinterpret_cast<const uint4 *>(gradient + element);
        }
#pragma unroll
    for (int i = 0; i < rows_per_lane; i++)
    {
        float sum = 0;
#pragma unroll
        for (int p = 0; p < packs_per_lane; p++)
        {
            const float part = dot(a[i][p], b[i][p]);
            if (lane + p * lanes < packs) sum += part;
        }
#pragma unroll
        for (int step = lanes / 2; step > 0; step >>= 1) sum += __shfl_xor_sync(all_lanes, sum, step);
        if (lane == 0) sums[own + i * rows_at_once] = sum;
    }
    __syncthreads();
    // Neighbours in memory are tokens of a head: where a block has whole tokens, a thread's neighbours write beside it.
    const int whole = block_rows % heads == 0 ? heads : 1, each = block_rows / whole;
    for (int i = threadIdx.x; i < block_rows; i += threads)
    {
        const int local = i % each * whole + i / each;
        const long long row = first + local, token = row / heads;
        if (row < rows) delta[(token / tokens * heads + row % heads) * tokens + token % tokens] = sums[local];
    }
}
