// s_t = a_t x_t + (1 − a_t) x_{t−1}, a = σ(mix) of each head; where ROTATES then the norm of s (rms_norm.cu) and the turn of its heads.
// Rows are tokens. A warp (or a block, where a row is wide) walks `run` neighbouring tokens, so that x is read from memory once for both
// its terms, and the token after hands its share of a gradient on in registers. Tokens of x begin x_stride elements apart, those of mix
// mix_stride, and so do those of their gradients: they may be columns of a wider matrix. `angles` has a row for each position, if all
// texts begin at one, or else for each token.
//
// Defines: those of norm_row.cuh and token_place.cuh, HEAD_SIZE, ROTATES; of each direction the blocks that a multiprocessor has registers
// for (FORWARD_BLOCKS, BACKWARD_BLOCKS) and the rows whose gates are made at once (FORWARD_GATES, BACKWARD_GATES, powers of two).
#include "head_numbers.cuh"
#include "norm_row.cuh"
#include "token_place.cuh"

constexpr bool rotates = ROTATES;
constexpr int slots = 4, ahead = 2; // A row, its neighbour, and two on their way. A row's slot is its number.
constexpr int forward_gates = FORWARD_GATES, backward_gates = BACKWARD_GATES;

__device__ __forceinline__ int first_of_run(int run) { return (blockIdx.x * rows_per_block + own_row()) * run; }

// The angles of rows on their way. Lanes read what others have sent for: between the wait and the reading lies __syncwarp.
struct AnglesAhead
{
    static constexpr int bytes = THREADS / 32 * slots * angles_of_row * (int)sizeof(float);

    float *shared; // [slots, angles_of_row], the warp's own.
    const float *table;

    __device__ __forceinline__ AnglesAhead(unsigned char *shared, const float *table)
        : shared(reinterpret_cast<float *>(shared) + (int)threadIdx.x / 32 * (slots * angles_of_row)), table(table) {}

    __device__ __forceinline__ void send(int slot, int row) const
    {
        for (int i = threadIdx.x % 32 * 4; i < angles_of_row; i += 128)
            copy_async_16(shared + (slot & (slots - 1)) * angles_of_row + i, table + (long long)row * angles_of_row + i, true);
    }

    __device__ __forceinline__ const float *row(int slot) const { return shared + (slot & (slots - 1)) * angles_of_row; }
};

// values += row.
__device__ __forceinline__ void add_row(const ELEMENT *row, float (&values)[packs][PACK])
{
    float terms[packs][PACK];
    load_row(row, terms);
#pragma unroll
    for (int p = 0; p < packs; p++)
#pragma unroll
        for (int i = 0; i < PACK; i++) values[p][i] += terms[p][i];
}

// The token before: of `previous`, where a text goes on there; zeros where there is none.
__device__ __forceinline__ void read_before(
    const RowsAhead<slots> &xs, const ELEMENT *previous, int row, Place place, float (&before)[packs][PACK])
{
#pragma unroll
    for (int p = 0; p < packs; p++) xs.read(row - 1, row - 1, p, before[p]);
    if (place.inside && !place.first) return;
    if (place.first && previous)
        load_row(previous + (long long)place.batch * WIDTH, before);
    else
    {
#pragma unroll
        for (int p = 0; p < packs; p++) clear(before[p]);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, FORWARD_BLOCKS) shifted_rows_forward(
    const ELEMENT *x, const ELEMENT *mix, const ELEMENT *previous, const int *__restrict__ starts, int segments, const float *weight,
    const float *angles, int one_position, ELEMENT *y, int rows, int tokens, int run, float epsilon, int x_stride, int mix_stride)
{
    DYNAMIC_SHARED(shared);
    overlap();
    float *scratch = reinterpret_cast<float *>(shared);
    RowsAhead<slots> xs(shared + scratch_bytes, x, x_stride);
    int first = first_of_run(run), end = min(first + run, rows);
    if (first >= end) return;
    AnglesAhead angles_ahead(xs.shared + xs.bytes, angles);
    GatesOfRows<forward_gates> gates(xs.shared + xs.bytes + angles_ahead.bytes);
    float w[packs][PACK];
    int batch = first / tokens, t = first % tokens;
    // The row of `angles` that is sent for next: counted on, for a remainder would be a division a row.
    int angle_row = one_position ? t : first, last_angle_row = one_position ? tokens - 1 : rows - 1;
    auto send = [&](int next) {
        if (next < end)
        {
            xs.send(next, next);
            angles_ahead.send(next, angle_row);
            angle_row = angle_row == last_angle_row ? 0 : angle_row + 1;
        }
        copy_async_commit();
    };
    if (first > 0) xs.send(first - 1, first - 1);
    for (int i = 0; i < ahead; i++) send(first + i);
    if constexpr (rotates) load_row(weight, w);

    for (int row = first; row < end; row++)
    {
        send(row + ahead);
        if ((row - first) % forward_gates == 0) gates.fill(mix, mix_stride, row, min(row + forward_gates, end));
        Place place = place_at(batch, t, tokens, starts, segments);
        float a[packs], values[packs][PACK], squares = 0;
        copy_async_wait<ahead>();
        __syncwarp();
        Turn turn(angles_ahead.row(row), 1);
        gates.read(row, a);
        read_before(xs, previous, row, place, values);
#pragma unroll
        for (int p = 0; p < packs; p++)
        {
            float now[PACK] = {};
            if (place.inside) xs.read(row, row, p, now);
#pragma unroll
            for (int i = 0; i < PACK; i++)
            {
                values[p][i] = a[p] * now[i] + (1.f - a[p]) * values[p][i];
                squares += values[p][i] * values[p][i];
            }
        }
        if constexpr (rotates)
        {
            scale_row(values, 1.f / sqrtf(row_sum(squares, scratch) / WIDTH + epsilon), w);
            turn(values);
        }
        store_row(values, y + (long long)row * WIDTH);
        if (++t == tokens) t = 0, batch++;
    }
}

// ds as in rms_norm_backward, of the s that is computed again; dx_t = a_t ds_t + (1 − a_{t+1}) ds_{t+1};
// dmix_t = a_t (1 − a_t) Σ ds_t (x_t − x_{t−1}). Tokens are walked from the last to the first. Each block leaves its rows' share of
// dweight in a row of `parts` [blocks, WIDTH]. dx, dmix and parts may be absent.
extern "C" __global__ void __launch_bounds__(THREADS, BACKWARD_BLOCKS) shifted_rows_backward(
    const ELEMENT *x, const ELEMENT *mix, const ELEMENT *previous, const int *__restrict__ starts, int segments, const float *weight,
    const float *angles, int one_position, const ELEMENT *dy, ELEMENT *dx, int fresh_dx, ELEMENT *dmix, int fresh_dmix, float *parts,
    int rows, int tokens, int run, float epsilon, int x_stride, int mix_stride)
{
    DYNAMIC_SHARED(shared);
    overlap();
    float *scratch = reinterpret_cast<float *>(shared);
    RowsAhead<slots> xs(shared + scratch_bytes, x, x_stride), dys(xs.shared + xs.bytes, dy, WIDTH);
    float w[packs][PACK], dweight[packs][PACK] = {}, carry[packs][PACK] = {};
    AnglesAhead angles_ahead(dys.shared + dys.bytes, angles);
    GatesOfRows<backward_gates> gates(dys.shared + dys.bytes + angles_ahead.bytes);
    int first = first_of_run(run), end = min(first + run, rows);
    // The token after the run, if it is of the same sequence, is computed again for what it hands on.
    int row = first < end && !place_of(end - 1, tokens, starts, segments).last ? end : end - 1, batch = row / tokens, t = row % tokens;

    // What a row needs beside x of its own, which is there because of the row before it on the way.
    int angle_row = one_position ? t : row, last_angle_row = one_position ? tokens - 1 : rows - 1;
    auto send = [&](int next) {
        if (next >= first)
        {
            dys.send(next, next);
            if (next > 0) xs.send(next - 1, next - 1);
            angles_ahead.send(next, angle_row);
            angle_row = angle_row == 0 ? last_angle_row : angle_row - 1;
        }
        copy_async_commit();
    };
    if (first < end) xs.send(row, row);
    for (int i = 0; i < ahead; i++) send(row - i);
    if constexpr (rotates) load_row(weight, w);

    for (int first_gated = row + 1; row >= first; row--)
    {
        send(row - ahead);
        if (row < first_gated)
        {
            first_gated = max(first, row + 1 - backward_gates);
            gates.fill(mix, mix_stride, first_gated, row + 1);
        }
        Place place = place_at(batch, t, tokens, starts, segments);
        bool own = row < end; // Not the token after the run.
        float a[packs], upstream[packs][PACK], shifted[packs][PACK], along[packs], across[packs], squares = 0, products = 0;
        copy_async_wait<ahead>();
        __syncwarp();
        Turn turn(angles_ahead.row(row), -1);
        gates.read(row, a);
#pragma unroll
        for (int p = 0; p < packs; p++) dys.read(row, row, p, upstream[p]);
        turn(upstream);
        read_before(xs, previous, row, place, shifted);
        // With the norm ds = scale · upstream ∘ w − projection · s. Neither factor is known before the row's sums are, so Σ ds · step
        // is summed in two parts: scale · along − projection · across.
#pragma unroll
        for (int p = 0; p < packs; p++)
        {
            float now[PACK] = {};
            if (place.inside) xs.read(row, row, p, now);
            along[p] = across[p] = 0;
#pragma unroll
            for (int i = 0; i < PACK; i++)
            {
                float before = shifted[p][i], s = a[p] * now[i] + (1.f - a[p]) * before, step = now[i] - before;
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
        float slopes[packs];
#pragma unroll
        for (int p = 0; p < packs; p++)
        {
            float handed = place.first ? 0.f : 1.f - a[p];
#pragma unroll
            for (int i = 0; i < PACK; i++)
            {
                float ds = upstream[p][i];
                if constexpr (rotates)
                {
                    float scaled = ds * scale;
                    dweight[p][i] += scaled * shifted[p][i];
                    ds = scaled * w[p][i] - shifted[p][i] * projection;
                }
                if (!place.inside) ds = 0;
                upstream[p][i] = a[p] * ds + carry[p][i];
                carry[p][i] = handed * ds;
            }
            slopes[p] = rotates ? scale * along[p] - projection * across[p] : along[p];
        }
        sum_over_heads(slopes);
#pragma unroll
        for (int p = 0; p < packs; p++) slopes[p] *= a[p] * (1.f - a[p]);
        if (own && dmix) store_heads(slopes, dmix + (long long)row * mix_stride, fresh_dmix);
        if (own && dx)
        {
            ELEMENT *target = dx + (long long)row * x_stride;
            if (!fresh_dx) add_row(target, upstream);
            store_row(upstream, target);
        }
        if (!own)
        {
#pragma unroll
            for (int p = 0; p < packs; p++) clear(dweight[p]);
        }
        if (--t < 0) t = tokens - 1, batch--;
    }
    if (rotates && parts) leave_share(dweight, reinterpret_cast<float *>(xs.shared), parts + (long long)blockIdx.x * WIDTH);
}
