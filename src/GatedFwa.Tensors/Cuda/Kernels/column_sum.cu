// y (+)= the column sums of parts [rows, width]: what blocks left side by side, added in a fixed order. A block has 32 columns and 32
// threads for each, whose loads are under way together.
#include "programmatic.cuh"
#include "warp.cuh"

constexpr int loads_at_once = 8;

extern "C" __global__ void __launch_bounds__(1024) column_sum(const float *parts, int rows, int width, float *y, int fresh)
{
    __shared__ float sums[32][33];
    const int lane = threadIdx.x % 32, share = threadIdx.x / 32, column = blockIdx.x * 32 + lane, read = min(column, width - 1);
    float sum = 0;
    wait_for_earlier_kernels();
    for (int first = share; first < rows; first += 32 * loads_at_once)
    {
        float part[loads_at_once];
#pragma unroll
        for (int i = 0; i < loads_at_once; i++) part[i] = parts[(long long)min(first + 32 * i, rows - 1) * width + read];
#pragma unroll
        for (int i = 0; i < loads_at_once; i++) sum += first + 32 * i < rows ? part[i] : 0;
    }
    sums[share][lane] = sum;
    __syncthreads();
    // A warp adds up what the threads of one column have.
    sum = warp_sum(sums[lane][share]);
    const int own = blockIdx.x * 32 + share;
    if (lane == 0 && own < width) y[own] = fresh ? sum : y[own] + sum;
}
