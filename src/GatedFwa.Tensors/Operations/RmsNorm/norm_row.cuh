// A row of WIDTH elements in the registers of ROW_THREADS threads, PACK neighbours at a time. Either a warp has a row (and a block of
// THREADS several), or a block.
//
// Defines: ELEMENT, WIDTH, PACK, ROW_THREADS, THREADS, ROTATES (whether rows have heads that turn, of HEAD_SIZE).
#pragma once
#include "packs.cuh"
#include "programmatic.cuh"
#include "tensor_cores.cuh"
#include "warp.cuh"

constexpr int rows_per_block = THREADS / ROW_THREADS;
constexpr int packs = (WIDTH / PACK + ROW_THREADS - 1) / ROW_THREADS; // Of a thread.

// The block's row that a thread works on. By way of lane 0, so that the compiler knows that a warp stays together: else it keeps a way
// for warps that part beside every shuffle, and copies registers between the two.
__device__ __forceinline__ int own_row() { return __shfl_sync(all_lanes, (int)threadIdx.x / ROW_THREADS, 0); }

// The first element of a thread's p-th pack; past the row's end where it has none. Signed, and p's part added last, as in all addresses
// here: then what packs differ by is a constant in the instruction.
__device__ __forceinline__ int column_of(int p) { return (int)(threadIdx.x % ROW_THREADS) * PACK + p * (ROW_THREADS * PACK); }

__device__ __forceinline__ bool has_pack(int p) { return WIDTH % (PACK * ROW_THREADS) == 0 || column_of(p) < WIDTH; }

__device__ __forceinline__ float row_sum(float x, float *scratch)
{
    if constexpr (ROW_THREADS == 32) return warp_sum(x);
    else return block_sum(x, scratch);
}

__device__ __forceinline__ void clear(float (&values)[PACK])
{
#pragma unroll
    for (int i = 0; i < PACK; i++) values[i] = 0;
}

template <class T> __device__ __forceinline__ void load_row(const T *row, float (&values)[packs][PACK])
{
#pragma unroll
    for (int p = 0; p < packs; p++)
    {
        if (has_pack(p)) load(row + column_of(p), values[p]);
        else clear(values[p]);
    }
}

template <class T> __device__ __forceinline__ void store_row(const float (&values)[packs][PACK], T *row)
{
#pragma unroll
    for (int p = 0; p < packs; p++)
        if (has_pack(p)) store(values[p], row + column_of(p));
}

__device__ __forceinline__ void scale_row(float (&values)[packs][PACK], float scale, const float (&weight)[packs][PACK])
{
#pragma unroll
    for (int p = 0; p < packs; p++)
#pragma unroll
        for (int i = 0; i < PACK; i++) values[p][i] *= scale * weight[p][i];
}

// Shared memory begins with a float for each warp of the largest block, for row_sum.
constexpr int scratch_bytes = 128;

// Rows on their way to the threads that work on them, `stride` elements from one to the next. A thread sends for its own packs and reads
// no others, so that nobody waits for anybody, and what is under way takes no registers. SLOTS, a power of two or 0, are the rows that
// have a place in shared memory; where there are none, or packs have less than 16 bytes, a row is loaded when it is read.
template <int SLOTS> struct RowsAhead
{
    static constexpr bool copies = SLOTS > 0 && PACK * sizeof(ELEMENT) == 16;
    static constexpr int bytes = copies ? SLOTS * packs * THREADS * 16 : 0; // Of shared memory.

    unsigned char *shared;
    const ELEMENT *rows;
    int stride;

    __device__ __forceinline__ RowsAhead(unsigned char *shared, const ELEMENT *rows, int stride)
        : shared(shared), rows(rows), stride(stride) {}

    // Slots are taken by turns: their number counts on.
    __device__ __forceinline__ void send(int slot, int row) const
    {
        if constexpr (copies)
        {
#pragma unroll
            for (int p = 0; p < packs; p++)
                if (has_pack(p)) copy_async_16(place(slot, p), source(row, p), true);
        }
    }

    // A pack of a row that has arrived.
    __device__ __forceinline__ void read(int slot, int row, int p, float (&values)[PACK]) const
    {
        if (!has_pack(p)) clear(values);
        else if constexpr (copies) load(reinterpret_cast<const ELEMENT *>(place(slot, p)), values);
        else load(source(row, p), values);
    }

private:
    __device__ __forceinline__ unsigned char *place(int slot, int p) const
    {
        return shared + (slot & (SLOTS - 1)) * (packs * THREADS * 16) + (int)threadIdx.x * 16 + p * (THREADS * 16);
    }

    __device__ __forceinline__ const ELEMENT *source(int row, int p) const
    {
        return rows + (long long)row * stride + column_of(0) + p * (ROW_THREADS * PACK);
    }
};

// Of a row of the table: cosines, then sines.
#if ROTATES
constexpr int angles_of_row = HEAD_SIZE;
#else
constexpr int angles_of_row = 0;
#endif

// The angles of a row's token, in a thread's columns; all its packs lie alike in their heads, because a warp has whole heads.
struct Turn
{
#if ROTATES
    static constexpr int half = HEAD_SIZE / 2;
    static constexpr int distance = half / PACK; // Lanes to the pack of the other half.
    static_assert(half % PACK == 0 && distance <= 16 && (distance & (distance - 1)) == 0, "the other half must lie in the warp");

    float cosine[PACK], sine[PACK], sign;

    // From a row of the table. Only loads: what is computed of them would wait for them.
    __device__ __forceinline__ Turn(const float *angles, float direction)
    {
        int column = column_of(0) % HEAD_SIZE;
        load(angles + column % half, cosine);
        load(angles + half + column % half, sine);
        sign = column < half ? -direction : direction;
    }

    __device__ __forceinline__ void operator()(float (&values)[packs][PACK]) const
    {
#pragma unroll
        for (int i = 0; i < PACK; i++)
        {
            float s = sign * sine[i];
#pragma unroll
            for (int p = 0; p < packs; p++)
                values[p][i] = values[p][i] * cosine[i] + __shfl_xor_sync(all_lanes, values[p][i], distance) * s;
        }
    }
#else
    __device__ __forceinline__ Turn(const float *, float) {}
    __device__ __forceinline__ void operator()(float (&)[packs][PACK]) const {}
#endif
};

// The second stage of a weight's gradient: the block's warps leave their rows' shares in `share` [rows_per_block, WIDTH] (shared memory),
// and their sum, in a fixed order, in `part` [WIDTH].
__device__ __forceinline__ void leave_share(const float (&sums)[packs][PACK], float *share, float *part)
{
    if constexpr (rows_per_block == 1)
        store_row(sums, part);
    else
    {
        __syncthreads(); // What `share` held before has been read.
        store_row(sums, share + threadIdx.x / ROW_THREADS * WIDTH);
        __syncthreads();
        for (int c = threadIdx.x; c < WIDTH; c += THREADS)
        {
            float sum = 0;
            for (int i = 0; i < rows_per_block; i++) sum += share[i * WIDTH + c];
            part[c] = sum;
        }
    }
}
