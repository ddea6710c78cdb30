// y = x · scale ∘ weight, scale = 1/√(mean(x²) + ε). A row stays in registers: memory is read once, forwards and backwards. The next row
// of a warp (of a block, where a row is wide) is on its way meanwhile, where AHEAD says that it has room. Rows of x and of its gradient
// begin x_stride elements apart: they may be columns of a wider matrix.
// Where it ROTATES the heads of y, of HEAD_SIZE, are then turned as rotary.cu turns them, angles [tokens, HEAD_SIZE] being its table.
#include "norm_row.cuh"

// With more than 128 registers a thread half as many rows would be worked on.
constexpr int blocks_at_once = THREADS <= 256 ? 2 : 1;
constexpr int slots = AHEAD ? 2 : 0;

// Where there is a branch, x + branch is normalised, and left in `sum`.
extern "C" __global__ void __launch_bounds__(THREADS, blocks_at_once) rms_norm_forward(
    const ELEMENT *x, const float *weight, ELEMENT *y, int rows, float epsilon, const float *angles, int tokens, const ELEMENT *branch,
    ELEMENT *sum, int x_stride)
{
    DYNAMIC_SHARED(shared);
    overlap();
    float *scratch = reinterpret_cast<float *>(shared), w[packs][PACK];
    RowsAhead<slots> xs(shared + scratch_bytes, x, x_stride), branches(xs.shared + xs.bytes, branch, WIDTH);
    int row = blockIdx.x * rows_per_block + own_row(), step = gridDim.x * rows_per_block;
    auto send = [=](int slot, int next) {
        if (next < rows)
        {
            xs.send(slot, next);
            if (branch) branches.send(slot, next);
        }
        copy_async_commit();
    };
    send(0, row);
    load_row(weight, w);
    for (int slot = 0; row < rows; row += step, slot++)
    {
        send(slot + 1, row + step);
        Turn turn(angles + (long long)(row % tokens) * angles_of_row, 1);
        float values[packs][PACK], squares = 0;
        copy_async_wait<1>();
#pragma unroll
        for (int p = 0; p < packs; p++) xs.read(slot, row, p, values[p]);
        if (branch)
        {
            float terms[packs][PACK];
#pragma unroll
            for (int p = 0; p < packs; p++) branches.read(slot, row, p, terms[p]);
#pragma unroll
            for (int p = 0; p < packs; p++)
            {
                // As the backward pass will read it.
#pragma unroll
                for (int i = 0; i < PACK; i++) values[p][i] = to_float(from_float<ELEMENT>(values[p][i] + terms[p][i]));
                if (has_pack(p)) store(values[p], sum + (long long)row * WIDTH + column_of(p));
            }
        }
#pragma unroll
        for (int p = 0; p < packs; p++)
#pragma unroll
            for (int i = 0; i < PACK; i++) squares += values[p][i] * values[p][i];
        float scale = 1.f / sqrtf(row_sum(squares, scratch) / WIDTH + epsilon);
        scale_row(values, scale, w);
        turn(values);
        store_row(values, y + (long long)row * WIDTH);
    }
}

// dx = scale · dy ∘ weight − x · scale³ · mean(dy ∘ weight ∘ x). Each block leaves its rows' share of dweight in a row of `parts`
// [blocks, WIDTH]. dx and parts may be absent.
extern "C" __global__ void __launch_bounds__(THREADS, blocks_at_once) rms_norm_backward(
    const ELEMENT *x, const float *weight, const ELEMENT *dy, ELEMENT *dx, int fresh, float *parts, int rows, float epsilon,
    const float *angles, int tokens, int x_stride)
{
    DYNAMIC_SHARED(shared);
    overlap();
    float *scratch = reinterpret_cast<float *>(shared), w[packs][PACK], dweight[packs][PACK] = {};
    RowsAhead<slots> xs(shared + scratch_bytes, x, x_stride), dys(xs.shared + xs.bytes, dy, WIDTH);
    RowsAhead<slots> dxs(dys.shared + dys.bytes, dx, x_stride);
    int row = blockIdx.x * rows_per_block + own_row(), step = gridDim.x * rows_per_block;
    bool adds = dx && !fresh;
    auto send = [=](int slot, int next) {
        if (next < rows)
        {
            xs.send(slot, next);
            dys.send(slot, next);
            if (adds) dxs.send(slot, next);
        }
        copy_async_commit();
    };
    send(0, row);
    load_row(weight, w);
    for (int slot = 0; row < rows; row += step, slot++)
    {
        send(slot + 1, row + step);
        Turn turn(angles + (long long)(row % tokens) * angles_of_row, -1);
        float values[packs][PACK], upstream[packs][PACK], squares = 0, products = 0;
        copy_async_wait<1>();
#pragma unroll
        for (int p = 0; p < packs; p++) dys.read(slot, row, p, upstream[p]);
        turn(upstream);
#pragma unroll
        for (int p = 0; p < packs; p++)
        {
            xs.read(slot, row, p, values[p]);
#pragma unroll
            for (int i = 0; i < PACK; i++)
            {
                squares += values[p][i] * values[p][i];
                products += upstream[p][i] * w[p][i] * values[p][i];
            }
        }
        float scale = 1.f / sqrtf(row_sum(squares, scratch) / WIDTH + epsilon);
        float projection = row_sum(products, scratch) / WIDTH * scale * scale * scale;
#pragma unroll
        for (int p = 0; p < packs; p++)
        {
#pragma unroll
            for (int i = 0; i < PACK; i++)
            {
                float scaled = upstream[p][i] * scale;
                dweight[p][i] += scaled * values[p][i];
                upstream[p][i] = scaled * w[p][i] - values[p][i] * projection;
            }
            if (adds)
            {
                float sum[PACK];
                dxs.read(slot, row, p, sum);
#pragma unroll
                for (int i = 0; i < PACK; i++) upstream[p][i] += sum[i];
            }
            if (dx && has_pack(p)) store(upstream[p], dx + (long long)row * x_stride + column_of(p));
        }
    }
    if (parts) leave_share(dweight, reinterpret_cast<float *>(xs.shared), parts + (long long)blockIdx.x * WIDTH);
}
