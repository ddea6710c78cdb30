// y (+)= the column sums of parts [rows, width]: what blocks left side by side, added in a fixed order. A block has 32 columns and 32
// threads for each, whose loads are eight at a time on their way.
#include "programmatic.cuh"

extern "C" __global__ void __launch_bounds__(1024) column_sum(const float *parts, int rows, int width, float *y, int fresh)
{
    __shared__ float sums[32][33];
    int lane = threadIdx.x % 32, share = threadIdx.x / 32, column = blockIdx.x * 32 + lane;
    float sum = 0;
    wait_for_earlier_kernels();
    if (column < width)
    {
#pragma unroll 8
        for (int row = share; row < rows; row += 32) sum += parts[(long long)row * width + column];
    }
    sums[share][lane] = sum;
    __syncthreads();
    if (share != 0 || column >= width) return;
    sum = sums[0][lane];
    for (int i = 1; i < 32; i++) sum += sums[i][lane];
    y[column] = fresh ? sum : y[column] + sum;
}
