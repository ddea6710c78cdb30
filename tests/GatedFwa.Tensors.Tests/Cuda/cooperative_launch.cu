// Every block publishes two numbers of this step and adds up everybody's.
#include "exchange.cuh"

extern "C" __global__ void add_up_blocks(uint4 *slots, int *steps, int *sums)
{
    const unsigned step = steps[blockIdx.x] + 1;
    publish2(slots + blockIdx.x, step * blockIdx.x, step * 1000, step);
    unsigned sum = 0;
    for (int block = 0; block < gridDim.x; block++)
    {
        const uint2 values = await_pair(slots + block, step);
        sum += values.x + values.y;
    }
    sums[blockIdx.x] = sum;
    steps[blockIdx.x] = step;
}
