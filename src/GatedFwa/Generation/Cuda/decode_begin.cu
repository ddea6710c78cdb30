// How a decoding step begins: the new token's row of the residual stream x [B, width]; cosines and sines of its position [B, 2 half];
// and the text is one longer, unless it is idle: `positions` counts its tokens, a cursor is (one past the newest slot of its ring, slots
// in use). `normed`, if any, is x with the factors of the first norm, as products of many texts read it, `squares` [B] the sums of x's
// squares. A block a text.
#include "elements.cuh"
#include "warp.cuh"

extern "C" __global__ void __launch_bounds__(256)
decode_begin(const int *tokens, const float *table, int vocabulary, int width, float *x, const double *frequencies, int half,
             float *angles, long long *positions, int2 *cursors, const int *idle, int capacity, const float *norm, ELEMENT *normed,
             float *squares)
{
    __shared__ float scratch[8];
    const int row = blockIdx.x, token = tokens[row];
    const long long position = positions[row];
    const bool exists = (unsigned)token < (unsigned)vocabulary;
    float square = 0;
    for (int i = threadIdx.x; i < width; i += blockDim.x)
    {
        const float value = exists ? table[(long long)token * width + i] : __uint_as_float(0x7fffffffu);
        x[(long long)row * width + i] = value;
        if (!normed) continue;
        normed[(long long)row * width + i] = from_float<ELEMENT>(value * norm[i]);
        square = fmaf(value, value, square);
    }
    if (normed)
    {
        square = block_sum(square, scratch);
        if (threadIdx.x == 0) squares[row] = square;
    }
    for (int j = threadIdx.x; j < half; j += blockDim.x)
    {
        double sine, cosine;
        sincos((double)position * frequencies[j], &sine, &cosine);
        angles[row * 2 * half + j] = (float)cosine;
        angles[row * 2 * half + half + j] = (float)sine;
    }
    __syncthreads();
    if (threadIdx.x != 0 || idle[row]) return;
    positions[row] = position + 1;
    const int2 cursor = cursors[row];
    cursors[row] = make_int2((cursor.x + 1) % capacity, min(cursor.y + 1, capacity));
}
