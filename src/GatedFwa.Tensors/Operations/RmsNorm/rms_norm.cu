// y = x · scale ∘ weight, scale = 1/√(mean(x²) + ε). A row of WIDTH elements stays in the registers of ROW_THREADS threads, PACK
// neighbours at a time: memory is read once, forwards and backwards. Either a warp has a row (and a block several), or a block.
// Rows of x and of its gradient begin x_stride elements apart: they may be columns of a wider matrix.
// With HEAD_SIZE the heads of y are then turned as rotary.cu turns them, angles [tokens, HEAD_SIZE] being its table.
#include "packs.cuh"
#include "warp.cuh"

constexpr int threads = ROW_THREADS == 32 ? 256 : ROW_THREADS;
constexpr int rows_per_block = threads / ROW_THREADS;
// With more than 128 registers a thread half as many rows would be on the way.
constexpr int blocks_at_once = threads <= 256 ? 2 : 1;
constexpr int packs = (WIDTH / PACK + ROW_THREADS - 1) / ROW_THREADS; // Of a thread.

__device__ __forceinline__ float row_sum(float x, float *scratch)
{
    if constexpr (ROW_THREADS == 32) return warp_sum(x);
    else return block_sum(x, scratch);
}

// The first element of a thread's p-th pack; past the row's end where it has none.
__device__ __forceinline__ int column_of(int p) { return (threadIdx.x % ROW_THREADS + p * ROW_THREADS) * PACK; }

template <class T> __device__ __forceinline__ void load_row(const T *row, float (&values)[packs][PACK])
{
#pragma unroll
    for (int p = 0; p < packs; p++)
    {
        if (column_of(p) < WIDTH)
            load(row + column_of(p), values[p]);
        else
        {
#pragma unroll
            for (int i = 0; i < PACK; i++) values[p][i] = 0;
        }
    }
}

// The angles of a row's token, in a thread's columns; all its packs lie alike in their heads, because a warp has whole heads.
struct Turn
{
#ifdef HEAD_SIZE
    static constexpr int half = HEAD_SIZE / 2;
    static constexpr int distance = half / PACK; // Lanes to the pack of the other half.
    static_assert(half % PACK == 0 && distance <= 16 && (distance & (distance - 1)) == 0, "the other half must lie in the warp");

    float cosine[PACK], sine[PACK];

    __device__ __forceinline__ Turn(const float *angles, int t, float direction)
    {
        int column = column_of(0) % HEAD_SIZE;
        load(angles + (long long)t * HEAD_SIZE + column % half, cosine);
        load(angles + (long long)t * HEAD_SIZE + half + column % half, sine);
#pragma unroll
        for (int i = 0; i < PACK; i++) sine[i] *= column < half ? -direction : direction;
    }

    __device__ __forceinline__ void operator()(float (&values)[packs][PACK]) const
    {
#pragma unroll
        for (int p = 0; p < packs; p++)
#pragma unroll
            for (int i = 0; i < PACK; i++)
                values[p][i] = values[p][i] * cosine[i] + __shfl_xor_sync(all_lanes, values[p][i], distance) * sine[i];
    }
#else
    __device__ __forceinline__ Turn(const float *, int, float) {}
    __device__ __forceinline__ void operator()(float (&)[packs][PACK]) const {}
#endif
};

// Where there is a branch, x + branch is normalised, and left in `sum`.
extern "C" __global__ void __launch_bounds__(threads) rms_norm_forward(
    const ELEMENT *__restrict__ x, const float *__restrict__ weight, ELEMENT *__restrict__ y, int rows, float epsilon,
    const float *__restrict__ angles, int tokens, const ELEMENT *__restrict__ branch, ELEMENT *__restrict__ sum, int x_stride)
{
    __shared__ float scratch[32];
    float w[packs][PACK];
    load_row(weight, w);
    for (int row = blockIdx.x * rows_per_block + threadIdx.x / ROW_THREADS; row < rows; row += gridDim.x * rows_per_block)
    {
        float values[packs][PACK], squares = 0;
        load_row(x + (long long)row * x_stride, values);
        if (branch)
        {
            float terms[packs][PACK];
            load_row(branch + (long long)row * WIDTH, terms);
#pragma unroll
            for (int p = 0; p < packs; p++)
            {
                // As the backward pass will read it.
#pragma unroll
                for (int i = 0; i < PACK; i++) values[p][i] = to_float(from_float<ELEMENT>(values[p][i] + terms[p][i]));
                if (column_of(p) < WIDTH) store(values[p], sum + (long long)row * WIDTH + column_of(p));
            }
        }
#pragma unroll
        for (int p = 0; p < packs; p++)
#pragma unroll
            for (int i = 0; i < PACK; i++) squares += values[p][i] * values[p][i];
        float scale = 1.f / sqrtf(row_sum(squares, scratch) / WIDTH + epsilon);
#pragma unroll
        for (int p = 0; p < packs; p++)
#pragma unroll
            for (int i = 0; i < PACK; i++) values[p][i] *= scale * w[p][i];
        Turn(angles, row % tokens, 1)(values);
#pragma unroll
        for (int p = 0; p < packs; p++)
            if (column_of(p) < WIDTH) store(values[p], y + (long long)row * WIDTH + column_of(p));
    }
}

// dx = scale · dy ∘ weight − x · scale³ · mean(dy ∘ weight ∘ x). Each block leaves its rows' share of dweight in a row of `parts`
// [blocks, WIDTH]. dx and parts may be absent.
extern "C" __global__ void __launch_bounds__(threads, blocks_at_once) rms_norm_backward(
    const ELEMENT *x, const float *__restrict__ weight, const ELEMENT *dy, ELEMENT *dx, int fresh, float *parts, int rows, float epsilon,
    const float *__restrict__ angles, int tokens, int x_stride)
{
    __shared__ float scratch[32];
    float w[packs][PACK], dweight[packs][PACK] = {};
    load_row(weight, w);
    for (int row = blockIdx.x * rows_per_block + threadIdx.x / ROW_THREADS; row < rows; row += gridDim.x * rows_per_block)
    {
        float values[packs][PACK], upstream[packs][PACK], squares = 0, products = 0;
        load_row(x + (long long)row * x_stride, values);
        load_row(dy + (long long)row * WIDTH, upstream);
        Turn(angles, row % tokens, -1)(upstream);
#pragma unroll
        for (int p = 0; p < packs; p++)
#pragma unroll
            for (int i = 0; i < PACK; i++)
            {
                squares += values[p][i] * values[p][i];
                products += upstream[p][i] * w[p][i] * values[p][i];
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
            if (dx && column_of(p) < WIDTH) store_or_add(upstream[p], dx + (long long)row * x_stride + column_of(p), fresh);
        }
    }
    if (!parts) return;

    // The block's warps add their shares one after the other.
    DYNAMIC_SHARED(shared);
    float *share = reinterpret_cast<float *>(shared), *part = parts + (long long)blockIdx.x * WIDTH;
    if constexpr (rows_per_block == 1)
    {
#pragma unroll
        for (int p = 0; p < packs; p++)
            if (column_of(p) < WIDTH) store(dweight[p], part + column_of(p));
    }
    else
    {
#pragma unroll
        for (int p = 0; p < packs; p++)
            if (column_of(p) < WIDTH) store(dweight[p], share + threadIdx.x / ROW_THREADS * WIDTH + column_of(p));
        __syncthreads();
        for (int c = threadIdx.x; c < WIDTH; c += threads)
        {
            float sum = 0;
            for (int i = 0; i < rows_per_block; i++) sum += share[i * WIDTH + c];
            part[c] = sum;
        }
    }
}
