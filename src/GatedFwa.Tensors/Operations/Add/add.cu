#include "packs.cuh"
#include "programmatic.cuh"

// y may be a: then a += b.
extern "C" __global__ void __launch_bounds__(256) add_forward(const ELEMENT *a, const ELEMENT *b, ELEMENT *y, long long count)
{
    overlap();
    each_pack<ELEMENT>(count, [=](auto width, long long first) {
        constexpr int N = decltype(width)::count;
        float va[N], vb[N];
        load(a + first, va);
        load(b + first, vb);
#pragma unroll
        for (int i = 0; i < N; i++) va[i] += vb[i];
        store(va, y + first);
    });
}
