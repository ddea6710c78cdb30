// y_t = a_t x_t + (1 − a_t) x_{t−1}, a = σ(mix). A row is one head of one token, SIZE elements; LANES neighbouring threads of a warp
// share it, PACK neighbours at a time. Tokens of x begin x_stride elements apart, those of mix mix_stride, and so do those of their
// gradients: they may be columns of a wider matrix.
#include "packs.cuh"
#include "token_place.cuh"
#include "warp.cuh"

constexpr int rows_per_block = 256 / LANES;

// The same head one token earlier; null for zeros.
__device__ __forceinline__ const ELEMENT *row_before(
    const ELEMENT *x, const ELEMENT *previous, Place place, int row, int heads, int x_stride)
{
    if (!place.first) return x + (long long)(row / heads - 1) * x_stride + row % heads * SIZE;
    return previous ? previous + ((long long)place.batch * heads + row % heads) * SIZE : nullptr;
}

extern "C" __global__ void __launch_bounds__(256) token_shift_forward(
    const ELEMENT *__restrict__ x, const ELEMENT *__restrict__ mix, const ELEMENT *__restrict__ previous, const int *__restrict__ starts,
    int segments, ELEMENT *__restrict__ y, int rows, int tokens, int heads, int x_stride, int mix_stride)
{
    long long index = (long long)blockIdx.x * rows_per_block + threadIdx.x / LANES;
    if (index >= rows) return;
    int row = (int)index;
    int token = row / heads, head = row % heads;
    Place place = place_of(token, tokens, starts, segments);
    const ELEMENT *before = row_before(x, previous, place, row, heads, x_stride);
    const long long at = (long long)token * x_stride + head * SIZE, mix_at = (long long)token * mix_stride + head;
    float gate = sigmoid(to_float(mix[mix_at]));
    for (int d = threadIdx.x % LANES * PACK; d < SIZE; d += LANES * PACK)
    {
        float values[PACK] = {};
        if (place.inside)
        {
            load(x + at + d, values);
            float earlier[PACK] = {};
            if (before) load(before + d, earlier);
#pragma unroll
            for (int i = 0; i < PACK; i++) values[i] = gate * values[i] + (1.f - gate) * earlier[i];
        }
        store(values, y + (long long)row * SIZE + d);
    }
}

// dx_t = a_t dy_t + (1 − a_{t+1}) dy_{t+1}; dmix_t = a_t (1 − a_t) Σ dy_t (x_t − x_{t−1}). Either may be absent.
extern "C" __global__ void __launch_bounds__(256) token_shift_backward(
    const ELEMENT *__restrict__ x, const ELEMENT *__restrict__ mix, const ELEMENT *__restrict__ previous, const int *__restrict__ starts,
    int segments, const ELEMENT *__restrict__ dy, ELEMENT *dx, int fresh_dx, ELEMENT *dmix, int fresh_dmix, int rows, int tokens, int heads,
    int x_stride, int mix_stride)
{
    long long index = (long long)blockIdx.x * rows_per_block + threadIdx.x / LANES;
    bool valid = index < rows; // All lanes take part in the sum.
    int row = valid ? (int)index : 0;
    int token = row / heads, head = row % heads;
    Place place = place_of(token, tokens, starts, segments);
    const ELEMENT *before = row_before(x, previous, place, row, heads, x_stride);
    const long long at = (long long)token * x_stride + head * SIZE, mix_at = (long long)token * mix_stride + head;
    float gate = sigmoid(to_float(mix[mix_at]));
    float next_rest = place.last ? 0.f : 1.f - sigmoid(to_float(mix[mix_at + mix_stride]));
    float slope = 0;
    for (int d = threadIdx.x % LANES * PACK; valid && d < SIZE; d += LANES * PACK)
    {
        float share[PACK] = {};
        if (place.inside)
        {
            float upstream[PACK], now[PACK], earlier[PACK] = {}, next[PACK] = {};
            load(dy + (long long)row * SIZE + d, upstream);
            if (!place.last) load(dy + (long long)(row + heads) * SIZE + d, next);
            if (dmix)
            {
                load(x + at + d, now);
                if (before) load(before + d, earlier);
#pragma unroll
                for (int i = 0; i < PACK; i++) slope += upstream[i] * (now[i] - earlier[i]);
            }
#pragma unroll
            for (int i = 0; i < PACK; i++) share[i] = gate * upstream[i] + next_rest * next[i];
        }
        if (dx) store_or_add(share, dx + at + d, fresh_dx);
    }
#pragma unroll
    for (int step = LANES / 2; step > 0; step >>= 1) slope += __shfl_xor_sync(all_lanes, slope, step);
    if (!valid || !dmix || threadIdx.x % LANES != 0) return;
    float gradient[1] = {gate * (1.f - gate) * slope};
    store_or_add(gradient, dmix + mix_at, fresh_dmix);
}
