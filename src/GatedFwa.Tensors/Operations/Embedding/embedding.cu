// Rows of a table [V, WIDTH] of floats; a thread has PACK neighbouring columns. The gradient adds the rows of dy to the table's in the
// order of the tokens: the tokens, sorted (sort_tokens.cu), are cut into pieces of equal length, so that a frequent token is no burden
// to one block alone.
#include "packs.cuh"

constexpr int piece = PIECE;
constexpr int batch = 4; // Rows of dy on the way at once.

extern "C" __global__ void __launch_bounds__(256) embedding_forward(
    const int *__restrict__ tokens, const float *__restrict__ table, ELEMENT *__restrict__ y, int count, int vocabulary)
{
    constexpr int threads_per_row = WIDTH / PACK;
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (long long)count * threads_per_row) return;
    int row = (int)(i / threads_per_row), column = (int)(i % threads_per_row) * PACK, token = tokens[row];
    float values[PACK];
    if ((unsigned)token < (unsigned)vocabulary)
        load(table + (long long)token * WIDTH + column, values);
    else
    {
#pragma unroll
        for (int k = 0; k < PACK; k++) values[k] = __uint_as_float(0x7fffffffu); // Nobody can be told from here.
    }
    store(values, y + (long long)row * WIDTH + column);
}

// Adds the runs of one token inside this block's piece. A run that lies in one piece goes to the table; of one that goes on in the
// next piece or came from the one before, the share is left in `shares` [pieces, 2, WIDTH]: 0 where it came, 1 where it begins here.
extern "C" __global__ void __launch_bounds__(256) embedding_backward(
    const int *__restrict__ tokens, const int *__restrict__ order, const ELEMENT *__restrict__ dy, float *dtable, float *shares, int count,
    int vocabulary)
{
    int column = (blockIdx.y * blockDim.x + threadIdx.x) * PACK;
    if (column >= WIDTH) return;
    int begin = blockIdx.x * piece, end = begin + piece < count ? begin + piece : count;
    bool came = begin > 0 && tokens[begin - 1] == tokens[begin];
    float sum[PACK] = {};
    for (int first = begin; first < end; first += batch)
    {
        float values[batch][PACK];
#pragma unroll
        for (int b = 0; b < batch; b++)
            if (first + b < end) load(dy + (long long)order[first + b] * WIDTH + column, values[b]);
#pragma unroll
        for (int b = 0; b < batch; b++)
        {
            int i = first + b;
            if (i >= end) break;
#pragma unroll
            for (int k = 0; k < PACK; k++) sum[k] += values[b][k];
            int token = tokens[i];
            bool same = i + 1 < count && tokens[i + 1] == token, goes_on = same && i + 1 == end;
            if (same && !goes_on) continue;
            if (came || goes_on)
                store(sum, shares + (2ll * blockIdx.x + (came ? 0 : 1)) * WIDTH + column);
            else if (token < vocabulary)
                add(sum, dtable + (long long)token * WIDTH + column);
            came = false;
#pragma unroll
            for (int k = 0; k < PACK; k++) sum[k] = 0;
        }
    }
}

// The runs of several pieces: the block of the piece in which one begins adds its shares.
extern "C" __global__ void __launch_bounds__(256) embedding_backward_join(
    const int *__restrict__ tokens, float *dtable, const float *__restrict__ shares, int count, int vocabulary)
{
    int column = (blockIdx.y * blockDim.x + threadIdx.x) * PACK, begin = blockIdx.x * piece, end = begin + piece;
    if (column >= WIDTH || end >= count) return;
    int token = tokens[end];
    if (token >= vocabulary || tokens[end - 1] != token) return;
    if (begin > 0 && tokens[begin - 1] == token) return; // Began earlier.
    int low = end, high = count; // One past the run.
    while (low < high)
    {
        int middle = low + (high - low) / 2;
        if (tokens[middle] == token) low = middle + 1;
        else high = middle;
    }
    float sum[PACK];
    load(shares + (2ll * blockIdx.x + 1) * WIDTH + column, sum);
#pragma unroll 4
    for (int p = blockIdx.x + 1; p * piece < low; p++)
    {
        float share[PACK];
        load(shares + 2ll * p * WIDTH + column, share);
#pragma unroll
        for (int k = 0; k < PACK; k++) sum[k] += share[k];
    }
    add(sum, dtable + (long long)token * WIDTH + column);
}
