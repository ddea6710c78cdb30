#include "packs.cuh"
#include "warp.cuh"

// Each block adds its part of the elements in double; the parts have a fixed size.
extern "C" __global__ void __launch_bounds__(256) reduce_parts(const ELEMENT *x, double *parts, long long count, long long part)
{
    __shared__ double scratch[8];
    constexpr int N = Pack16<ELEMENT>::count; // Divides a part.
    long long begin = blockIdx.x * part, end = begin + part < count ? begin + part : count;
    double sum = 0;
    for (long long i = begin + N * (long long)threadIdx.x; i < end; i += N * (long long)blockDim.x)
    {
        if (i + N <= end)
        {
            float values[N];
            load(x + i, values);
#pragma unroll
            for (int j = 0; j < N; j++) sum += values[j];
        }
        else
            for (long long j = i; j < end; j++) sum += to_float(x[j]);
    }
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// One block.
extern "C" __global__ void __launch_bounds__(256) reduce_total(const double *parts, int count, double factor, float *y)
{
    __shared__ double scratch[8];
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += parts[i];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) *y = (float)(sum * factor);
}

// The gradient of a sum is the same everywhere. It stays on the GPU: nobody waits for it.
extern "C" __global__ void __launch_bounds__(256) reduce_spread(const float *dy, double factor, ELEMENT *dx, long long count, int fresh)
{
    float value = (float)(*dy * factor);
    each_pack<ELEMENT>(count, [=](auto width, long long first) {
        constexpr int N = decltype(width)::count;
        float values[N];
#pragma unroll
        for (int i = 0; i < N; i++) values[i] = value;
        store_or_add(values, dx + first, fresh);
    });
}
