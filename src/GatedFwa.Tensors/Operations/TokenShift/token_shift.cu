// y_t = a_t x_t + (1 − a_t) x_{t−1}, a = σ(mix). A row is one head of one token, SIZE elements; LANES neighbouring threads of a warp
// share it, PACK neighbours at a time. LAYOUT: 0 dense, 1 packed documents (starts [segments + 1], the last one the end), 2 padded on
// the left (starts [B]). Tokens of x begin x_stride elements apart, those of mix mix_stride, and so do those of their gradients: they
// may be columns of a wider matrix.
#include "packs.cuh"
#include "warp.cuh"

constexpr int rows_per_block = 256 / LANES;

struct Place
{
    int head, token, batch;
    bool inside, first, last; // Of a sequence.
};

__device__ __forceinline__ Place place_of(int row, int tokens, int heads, const int *starts, int segments)
{
    Place place;
    place.token = row / heads;
    place.head = row % heads;
    place.batch = place.token / tokens;
    int t = place.token % tokens;
#if LAYOUT == 0
    place.inside = true;
    place.first = t == 0;
    place.last = t == tokens - 1;
#elif LAYOUT == 1
    int low = 0, high = segments; // starts[low] ≤ t < starts[high]
    while (high - low > 1)
    {
        int middle = (low + high) / 2;
        if (starts[middle] <= t) low = middle;
        else high = middle;
    }
    place.inside = true;
    place.first = t == starts[low];
    place.last = t == starts[high] - 1;
#else
    place.inside = t >= starts[place.batch];
    place.first = t == starts[place.batch];
    place.last = t == tokens - 1;
#endif
    return place;
}

// The same head one token earlier; null for zeros.
__device__ __forceinline__ const ELEMENT *row_before(const ELEMENT *x, const ELEMENT *previous, Place place, int heads, int x_stride)
{
    if (!place.first) return x + (long long)(place.token - 1) * x_stride + place.head * SIZE;
    return previous ? previous + ((long long)place.batch * heads + place.head) * SIZE : nullptr;
}

extern "C" __global__ void __launch_bounds__(256) token_shift_forward(
    const ELEMENT *__restrict__ x, const ELEMENT *__restrict__ mix, const ELEMENT *__restrict__ previous, const int *__restrict__ starts,
    int segments, ELEMENT *__restrict__ y, int rows, int tokens, int heads, int x_stride, int mix_stride)
{
    long long index = (long long)blockIdx.x * rows_per_block + threadIdx.x / LANES;
    if (index >= rows) return;
    int row = (int)index;
    Place place = place_of(row, tokens, heads, starts, segments);
    const ELEMENT *before = row_before(x, previous, place, heads, x_stride);
    const long long at = (long long)place.token * x_stride + place.head * SIZE, mix_at = (long long)place.token * mix_stride + place.head;
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
    Place place = place_of(row, tokens, heads, starts, segments);
    const ELEMENT *before = row_before(x, previous, place, heads, x_stride);
    const long long at = (long long)place.token * x_stride + place.head * SIZE, mix_at = (long long)place.token * mix_stride + place.head;
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
