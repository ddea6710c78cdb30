#include "elements.cuh"

// lse of queries in no segment: the logarithm of nothing.
extern "C" __global__ void unseen_queries(float *lse, long long count)
{
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) lse[i] = -INFINITY;
}
