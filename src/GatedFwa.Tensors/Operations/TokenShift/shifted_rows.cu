// s_t = a_t x_t + (1 − a_t) x_{t−1}, a = σ(mix) of each head; where ROTATES then the norm of s (rms_norm.cu) and the turn of its heads.
// Rows are tokens. A warp (or a block, where a row is wide) walks `run` neighbouring tokens, so that x is read from memory once for both
// its terms, and the token after hands its share of a gradient on in registers. Tokens of x begin x_stride elements apart, those of mix
// mix_stride, and so do those of their gradients: they may be columns of a wider matrix. `angles` has a row for each position, if all
// texts begin at one, or else for each token.
#include "norm_row.cuh"
#include "token_place.cuh"

constexpr bool rotates = ROTATES;
constexpr int slots = 4, ahead = 2; // A row, its neighbour, and two on their way.
constexpr int head_lanes = HEAD_SIZE / PACK;

__device__ __forceinline__ int first_of_run(int run)
{
    return (blockIdx.x * rows_per_block + threadIdx.x / ROW_THREADS) * run;
}

// The logits of the heads of a thread's packs, as they lie in memory: what is computed of them would wait for them.
__device__ __forceinline__ void load_mix(const ELEMENT *row, ELEMENT (&logits)[packs])
{
#pragma unroll
    for (int p = 0; p < packs; p++) logits[p] = row[has_pack(p) ? column_of(p) / HEAD_SIZE : 0];
}

// The token before; zeros where there is none.
__device__ __forceinline__ void read_before(
    const RowsAhead<slots> &xs, const ELEMENT *previous, int row, Place place, float (&before)[packs][PACK])
{
    if (place.inside && !place.first)
    {
#pragma unroll
        for (int p = 0; p < packs; p++) xs.read(row - 1, row - 1, p, before[p]);
    }
    else if (place.first && previous)
        load_row(previous + (long long)place.batch * WIDTH, before);
    else
    {
#pragma unroll
        for (int p = 0; p < packs; p++) clear(before[p]);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, FORWARD_BLOCKS) shifted_rows_forward(
    const ELEMENT *__restrict__ x, const ELEMENT *__restrict__ mix, const ELEMENT *__restrict__ previous, const int *__restrict__ starts,
    int segments, const float *__restrict__ weight, const float *__restrict__ angles, int one_position, ELEMENT *__restrict__ y, int rows,
    int tokens, int run, float epsilon, int x_stride, int mix_stride)
{
    DYNAMIC_SHARED(shared);
    float *scratch = reinterpret_cast<float *>(shared);
    RowsAhead<slots> xs(shared + scratch_bytes, x, x_stride);
    int first = first_of_run(run), end = min(first + run, rows);
    if (first >= end) return;
    float w[packs][PACK];
    ELEMENT coming[packs];
    if (first > 0) xs.send(first - 1, first - 1);
    for (int row = first; row < first + ahead; row++)
    {
        if (row < end) xs.send(row, row);
        copy_async_commit();
    }
    if constexpr (rotates) load_row(weight, w);
    load_mix(mix + (long long)first * mix_stride, coming);

    for (int row = first; row < end; row++)
    {
        if (row + ahead < end) xs.send(row + ahead, row + ahead);
        copy_async_commit();
        Place place = place_of(row, tokens, starts, segments);
        Turn turn(angles, one_position ? place.t : row, 1);
        float gates[packs], values[packs][PACK], squares = 0;
#pragma unroll
        for (int p = 0; p < packs; p++) gates[p] = sigmoid(to_float(coming[p]));
        load_mix(mix + (long long)min(row + 1, rows - 1) * mix_stride, coming);
        copy_async_wait<ahead>();
        read_before(xs, previous, row, place, values);
#pragma unroll
        for (int p = 0; p < packs; p++)
        {
            float now[PACK] = {};
            if (place.inside) xs.read(row, row, p, now);
#pragma unroll
            for (int i = 0; i < PACK; i++)
            {
                values[p][i] = gates[p] * now[i] + (1.f - gates[p]) * values[p][i];
                squares += values[p][i] * values[p][i];
            }
        }
        if constexpr (rotates)
        {
            scale_row(values, 1.f / sqrtf(row_sum(squares, scratch) / WIDTH + epsilon), w);
            turn(values);
        }
        store_row(values, y + (long long)row * WIDTH);
    }
}

// ds as in rms_norm_backward, of the s that is computed again; dx_t = a_t ds_t + (1 − a_{t+1}) ds_{t+1};
// dmix_t = a_t (1 − a_t) Σ ds_t (x_t − x_{t−1}). Tokens are walked from the last to the first. Each block leaves its rows' share of
// dweight in a row of `parts` [blocks, WIDTH]. dx, dmix and parts may be absent.
extern "C" __global__ void __launch_bounds__(THREADS, BACKWARD_BLOCKS) shifted_rows_backward(
    const ELEMENT *__restrict__ x, const ELEMENT *__restrict__ mix, const ELEMENT *__restrict__ previous, const int *__restrict__ starts,
    int segments, const float *__restrict__ weight, const float *__restrict__ angles, int one_position, const ELEMENT *__restrict__ dy,
    ELEMENT *dx, int fresh_dx, ELEMENT *dmix, int fresh_dmix, float *parts, int rows, int tokens, int run, float epsilon, int x_stride,
    int mix_stride)
{
    DYNAMIC_SHARED(shared);
    float *scratch = reinterpret_cast<float *>(shared);
    RowsAhead<slots> xs(shared + scratch_bytes, x, x_stride), dys(xs.shared + xs.bytes, dy, WIDTH);
    float w[packs][PACK], dweight[packs][PACK] = {}, carry[packs][PACK] = {};
    ELEMENT coming[packs];
    int first = first_of_run(run), end = min(first + run, rows);
    // The token after the run, if it is of the same sequence, is computed again for what it hands on.
    int row = first < end && !place_of(end - 1, tokens, starts, segments).last ? end : end - 1;

    // What a row needs beside x of its own, which is there because of the row before it on the way.
    auto send = [=](int next) {
        if (next >= first)
        {
            dys.send(next, next);
            if (next > 0) xs.send(next - 1, next - 1);
        }
        copy_async_commit();
    };
    if (first < end) xs.send(row, row);
    for (int i = 0; i < ahead; i++) send(row - i);
    if constexpr (rotates) load_row(weight, w);
    if (first < end) load_mix(mix + (long long)row * mix_stride, coming);

    for (; row >= first; row--)
    {
        send(row - ahead);
        Place place = place_of(row, tokens, starts, segments);
        Turn turn(angles, one_position ? place.t : row, -1);
        bool own = row < end;
        float gates[packs], upstream[packs][PACK], shifted[packs][PACK], along[packs], across[packs], squares = 0, products = 0;
#pragma unroll
        for (int p = 0; p < packs; p++) gates[p] = sigmoid(to_float(coming[p]));
        load_mix(mix + (long long)max(row - 1, 0) * mix_stride, coming);
        copy_async_wait<ahead>();
#pragma unroll
        for (int p = 0; p < packs; p++) dys.read(row, row, p, upstream[p]);
        turn(upstream);
        read_before(xs, previous, row, place, shifted);
#pragma unroll
        for (int p = 0; p < packs; p++)
        {
            float now[PACK] = {};
            if (place.inside) xs.read(row, row, p, now);
            along[p] = across[p] = 0;
#pragma unroll
            for (int i = 0; i < PACK; i++)
            {
                float before = shifted[p][i], s = gates[p] * now[i] + (1.f - gates[p]) * before, step = now[i] - before;
                if constexpr (rotates)
                {
                    float weighted = upstream[p][i] * w[p][i];
                    squares += s * s;
                    products += weighted * s;
                    along[p] += weighted * step;
                    across[p] += s * step;
                    shifted[p][i] = s;
                }
                else
                    along[p] += upstream[p][i] * step;
            }
        }
        float scale = 1, projection = 0;
        if constexpr (rotates)
        {
            scale = 1.f / sqrtf(row_sum(squares, scratch) / WIDTH + epsilon);
            projection = row_sum(products, scratch) / WIDTH * scale * scale * scale;
        }
#pragma unroll
        for (int p = 0; p < packs; p++)
        {
            float share[PACK], handed = place.first ? 0.f : 1.f - gates[p];
#pragma unroll
            for (int i = 0; i < PACK; i++)
            {
                float ds = upstream[p][i];
                if constexpr (rotates)
                {
                    float scaled = ds * scale;
                    if (own) dweight[p][i] += scaled * shifted[p][i];
                    ds = scaled * w[p][i] - shifted[p][i] * projection;
                }
                if (!place.inside) ds = 0;
                share[i] = gates[p] * ds + carry[p][i];
                carry[p][i] = handed * ds;
            }
            if (own && dx && has_pack(p)) store_or_add(share, dx + (long long)row * x_stride + column_of(p), fresh_dx);

            // Σ ds (x_t − x_{t−1}) over the head.
            float slope = rotates ? scale * along[p] - projection * across[p] : along[p];
#pragma unroll
            for (int step = head_lanes / 2; step > 0; step >>= 1) slope += __shfl_xor_sync(all_lanes, slope, step);
            if (own && dmix && has_pack(p) && threadIdx.x % head_lanes == 0)
            {
                float gradient[1] = {gates[p] * (1.f - gates[p]) * slope};
                store_or_add(gradient, dmix + (long long)row * mix_stride + column_of(p) / HEAD_SIZE, fresh_dmix);
            }
        }
    }
    if (rotates && parts) leave_share(dweight, reinterpret_cast<float *>(xs.shared), parts + (long long)blockIdx.x * WIDTH);
}
