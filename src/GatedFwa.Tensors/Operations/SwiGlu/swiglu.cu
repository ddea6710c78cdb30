#include "packs.cuh"

extern "C" __global__ void __launch_bounds__(256) swiglu_forward(const ELEMENT *gate, const ELEMENT *value, ELEMENT *y, long long count)
{
    each_pack<ELEMENT>(count, [=](auto width, long long first) {
        constexpr int N = decltype(width)::count;
        float g[N], v[N];
        load(gate + first, g);
        load(value + first, v);
#pragma unroll
        for (int i = 0; i < N; i++) v[i] *= g[i] * sigmoid(g[i]);
        store(v, y + first);
    });
}

// Either gradient may be absent. In this order: where gate and value are one tensor, the second adds to what the first stored.
extern "C" __global__ void __launch_bounds__(256) swiglu_backward(
    const ELEMENT *gate, const ELEMENT *value, const ELEMENT *dy, ELEMENT *dgate, int fresh_dgate, ELEMENT *dvalue, int fresh_dvalue,
    long long count)
{
    each_pack<ELEMENT>(count, [=](auto width, long long first) {
        constexpr int N = decltype(width)::count;
        float g[N], v[N], upstream[N];
        load(gate + first, g);
        load(value + first, v);
        load(dy + first, upstream);
#pragma unroll
        for (int i = 0; i < N; i++)
        {
            float s = sigmoid(g[i]), scaled = upstream[i] * s;
            upstream[i] = scaled * v[i] * (1.f + g[i] * (1.f - s)); // silu′(g) = σ (1 + g (1 − σ))
            v[i] = scaled * g[i];
        }
        if (dgate) store_or_add(upstream, dgate + first, fresh_dgate);
        if (dvalue) store_or_add(v, dvalue + first, fresh_dvalue);
    });
}
