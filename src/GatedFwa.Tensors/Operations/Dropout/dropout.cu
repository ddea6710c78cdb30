#include "packs.cuh"

// CounterRandom.Uniform, bit for bit: both devices drop the same elements.
__device__ __forceinline__ float uniform(unsigned long long key, long long position)
{
    unsigned long long z = key + (unsigned long long)position * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    return (float)(unsigned)(z >> 40) * (1.f / (1 << 24));
}

extern "C" __global__ void __launch_bounds__(256) dropout(
    const ELEMENT *x, ELEMENT *y, long long count, float probability, float scale, unsigned long long key, int fresh)
{
    each_pack<ELEMENT>(count, [=](auto width, long long first) {
        constexpr int N = decltype(width)::count;
        float values[N];
        load(x + first, values);
#pragma unroll
        for (int i = 0; i < N; i++) values[i] = uniform(key, first + i) >= probability ? values[i] * scale : 0.f;
        store_or_add(values, y + first, fresh);
    });
}
