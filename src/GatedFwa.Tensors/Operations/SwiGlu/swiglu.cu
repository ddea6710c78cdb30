// y = silu(gate) ∘ value, over rows of WIDTH elements. Rows of gate, of value and of their gradients begin `stride` elements apart: they
// may be columns of a wider matrix. A thread has PACK neighbours.
#include "packs.cuh"
#include "programmatic.cuh"

// Where this thread's elements lie among those of gate and value, and among those of y; false where it has none.
__device__ __forceinline__ bool place(long long count, int stride, long long &wide, long long &dense)
{
    constexpr unsigned packs = WIDTH / PACK;
    const unsigned pack = blockIdx.x * blockDim.x + threadIdx.x;
    dense = (long long)pack * PACK;
    wide = (long long)(pack / packs) * stride + pack % packs * PACK;
    return dense < count;
}

extern "C" __global__ void __launch_bounds__(256) swiglu_forward(
    const ELEMENT *gate, const ELEMENT *value, ELEMENT *y, long long count, int stride)
{
    overlap();
    long long wide, dense;
    if (!place(count, stride, wide, dense)) return;
    float g[PACK], v[PACK];
    load(gate + wide, g);
    load(value + wide, v);
#pragma unroll
    for (int i = 0; i < PACK; i++) v[i] *= g[i] * sigmoid(g[i]);
    store(v, y + dense);
}

// Either gradient may be absent. In this order: where gate and value are one tensor, the second adds to what the first stored.
extern "C" __global__ void __launch_bounds__(256) swiglu_backward(
    const ELEMENT *gate, const ELEMENT *value, const ELEMENT *dy, ELEMENT *dgate, int fresh_dgate, ELEMENT *dvalue, int fresh_dvalue,
    long long count, int stride)
{
    overlap();
    long long wide, dense;
    if (!place(count, stride, wide, dense)) return;
    float g[PACK], v[PACK], upstream[PACK];
    load(gate + wide, g);
    load(value + wide, v);
    load(dy + dense, upstream);
#pragma unroll
    for (int i = 0; i < PACK; i++)
    {
        float s = sigmoid(g[i]), scaled = upstream[i] * s;
        upstream[i] = scaled * v[i] * (1.f + g[i] * (1.f - s)); // silu′(g) = σ (1 + g (1 − σ))
        v[i] = scaled * g[i];
    }
    if (dgate) store_or_add(upstream, dgate + wide, fresh_dgate);
    if (dvalue) store_or_add(v, dvalue + wide, fresh_dvalue);
}
