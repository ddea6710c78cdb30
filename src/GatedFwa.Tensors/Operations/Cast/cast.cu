#include "elements.cuh"

// Eight neighbours a thread. Tensors begin on 256-byte boundaries, so whole groups are read and written 16 bytes at a time.
extern "C" __global__ void __launch_bounds__(256) cast(const SOURCE *source, TARGET *target, long long count)
{
    long long first = 8 * ((long long)blockIdx.x * blockDim.x + threadIdx.x);
    if (first + 8 <= count)
    {
        float values[8];
#pragma unroll
        for (int i = 0; i < 8; i += Pack16<SOURCE>::count) Pack16<SOURCE>::load(source + first + i, values + i);
#pragma unroll
        for (int i = 0; i < 8; i += Pack16<TARGET>::count) Pack16<TARGET>::store(values + i, target + first + i);
        return;
    }
    for (long long i = first; i < count; i++) target[i] = from_float<TARGET>(to_float(source[i]));
}
