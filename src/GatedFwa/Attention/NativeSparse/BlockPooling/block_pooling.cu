// The mean of each complete block of a document's keys or values.
//
// Defines: ELEMENT, WIDTH (Hkv D), SIZE (tokens of a block).
#include "packs.cuh"
#include "sparse_documents.cuh"

constexpr int packs = WIDTH / 8;

// x [B, positions, WIDTH] → pooled [B, pooled rows, WIDTH], of each row of the batch `blocks` of them from one on; starts [B, pooled
// rows]: the position a row's block begins at, -1 where it has none; or none: c SIZE
extern "C" __global__ void __launch_bounds__(256) block_pooling_forward(
    const ELEMENT *x, const int *starts, ELEMENT *pooled, long long items, int first_block, int blocks, int pooled_rows, int positions)
{
    long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    int batch = (int)(item / packs / blocks), block = first_block + (int)(item / packs % blocks), column = (int)(item % packs) * 8;
    long long row = (long long)batch * pooled_rows + block;
    int start = starts ? starts[row] : block * SIZE;
    float mean[8] = {};
    if (start >= 0)
    {
        const ELEMENT *tokens = x + ((long long)batch * positions + start) * WIDTH + column;
        // In runs, so that a long block is as exact as a short one.
        constexpr int run = 16;
        for (int token = 0; token < SIZE; token += run)
        {
            float sum[8] = {};
#pragma unroll 4
            for (int i = token; i < min(token + run, SIZE); i++)
            {
                float values[8];
                load(tokens + (long long)i * WIDTH, values);
#pragma unroll
                for (int n = 0; n < 8; n++) sum[n] += values[n];
            }
#pragma unroll
            for (int n = 0; n < 8; n++) mean[n] += sum[n];
        }
#pragma unroll
        for (int n = 0; n < 8; n++) mean[n] *= 1.0f / SIZE;
    }
    store(mean, pooled + row * WIDTH + column);
}

// dx [B, S, WIDTH] (+)= dpooled / SIZE in complete blocks
extern "C" __global__ void __launch_bounds__(256) block_pooling_backward(
    const ELEMENT *gradient, const int4 *documents, ELEMENT *dx, int fresh, long long rows, int rows_of_batch, int positions)
{
    long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x, row = item / packs;
    if (row >= rows) return;
    int column = (int)(item % packs) * 8, batch = (int)(row / positions), at = (int)(row % positions);
    Document document(documents, batch, at, positions, SIZE);
    int block = (at - document.start) / SIZE;
    bool is_complete = at >= document.start && document.start + (long long)(block + 1) * SIZE <= document.end;
    if (!is_complete && !fresh) return;
    float share[8] = {};
    if (is_complete)
    {
        load(gradient + ((long long)batch * rows_of_batch + document.first_pooled + block) * WIDTH + column, share);
#pragma unroll
        for (int n = 0; n < 8; n++) share[n] *= 1.0f / SIZE;
    }
    store_or_add(share, dx + row * WIDTH + column, fresh);
}
