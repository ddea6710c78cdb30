// What comes before the backward kernels: delta = sum of o dO over a head. Bound by memory: as many lanes a row as have 16 bytes of
// it, and four rows of each on the way at once.
//
// Defines: ELEMENT, SIZE (of a head, a multiple of 8).
#include "elements.cuh"
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
constexpr int rows_at_once = threads / lanes;

// o, gradient [B, T, H, SIZE] -> delta [B, H, T]
extern "C" __global__ void __launch_bounds__(threads) output_dot_gradient(
    const ELEMENT *__restrict__ o, const ELEMENT *__restrict__ gradient, float *__restrict__ delta, long long rows, int tokens, int heads)
{
    const int lane = threadIdx.x % lanes;
    const long long first = (long long)blockIdx.x * rows_at_once * rows_per_lane + threadIdx.x / lanes;
    float a[rows_per_lane][packs_per_lane][Pack::count], b[rows_per_lane][packs_per_lane][Pack::count];
#pragma unroll
    for (int i = 0; i < rows_per_lane; i++)
#pragma unroll
        for (int p = 0; p < packs_per_lane; p++)
        {
            const long long row = first + i * rows_at_once;
            const int pack = lane + p * lanes;
            if (row >= rows || pack >= packs)
            {
#pragma unroll
                for (int k = 0; k < Pack::count; k++) a[i][p][k] = b[i][p][k] = 0;
                continue;
            }
            Pack::load(o + row * SIZE + pack * Pack::count, a[i][p]);
            Pack::load(gradient + row * SIZE + pack * Pack::count, b[i][p]);
        }
#pragma unroll
    for (int i = 0; i < rows_per_lane; i++)
    {
        float sum = 0;
#pragma unroll
        for (int p = 0; p < packs_per_lane; p++)
#pragma unroll
            for (int k = 0; k < Pack::count; k++) sum = fmaf(a[i][p][k], b[i][p][k], sum);
#pragma unroll
        for (int step = lanes / 2; step > 0; step >>= 1) sum += __shfl_xor_sync(all_lanes, sum, step);
        const long long row = first + i * rows_at_once, token = row / heads;
        if (lane == 0 && row < rows) delta[(token / tokens * heads + row % heads) * tokens + token % tokens] = sum;
    }
}
