// How a product of one vector is dealt: a block has some of the rows of a matrix, in shared memory, and its warps share the features. Sums
// of warps meet in shared memory.
//
// The tensor cores multiply 16 rows with 8 vectors at a time, of which there is one: it stands where lanes of g = 0 have theirs.
#pragma once
#include "packs.cuh"
#include "tensor_cores.cuh"
#include "warp.cuh"

constexpr int warps = 8, threads = 32 * warps;
constexpr int lane_features_of_step = 8, step_features = 4 * lane_features_of_step;   // Of a warp: two products of 16.
constexpr int tile_rows = 16;

constexpr int quotient(int a, int b) { return (a + b - 1) / b; }
constexpr int steps_of(int features) { return quotient(features, step_features); }

// Bytes from row to row of 16-bit elements: an odd number of 64, so that the rows that eight lanes read together lie in different banks.
constexpr int pitch_of(int features) { return (steps_of(features) | 1) * step_features * 2; }

// What a block has of `all` things, as many as any other or one fewer.
struct Share
{
    int first, count;
    __device__ __forceinline__ explicit Share(int all)
        : first((int)((long long)all * blockIdx.x / BLOCKS)), count((int)((long long)all * (blockIdx.x + 1) / BLOCKS) - first)
    {
    }
};

// A warp's steps along `features`, and the eight neighbours that a lane has of each: the same for all g.
template <int features> struct Slice
{
    static constexpr int all = steps_of(features), most = quotient(all, warps);
    static constexpr bool is_even = all % warps == 0 && features % step_features == 0;   // All lanes of all warps have as much.
    int first, count;

    __device__ __forceinline__ Slice()
    {
        const int warp = threadIdx.x / 32;
        first = all * warp / warps;
        count = all * (warp + 1) / warps - first;
    }

    __device__ __forceinline__ int feature(int s) const { return (first + s) * step_features + threadIdx.x % 4 * lane_features_of_step; }
    __device__ __forceinline__ bool exists(int s) const { return is_even || (s < count && feature(s) < features); }

    // What does not exist reads something else, so that loads have no branches around them.
    __device__ __forceinline__ int existing(int s) const
    {
        return is_even ? feature(s) : min(feature(s), features - lane_features_of_step);
    }
};

// A vector as the tensor cores take it. Sums do not mind the order of features: a lane's eight neighbours stand where two products of 16
// want theirs.
template <int features> struct Factors
{
    uint4 words[Slice<features>::most];

    __device__ __forceinline__ void set(int s, const float (&values)[lane_features_of_step])
    {
        const bool mine = threadIdx.x % 32 < 4;
        words[s].x = mine ? pack2<ELEMENT>(values[0], values[1]) : 0;
        words[s].y = mine ? pack2<ELEMENT>(values[2], values[3]) : 0;
        words[s].z = mine ? pack2<ELEMENT>(values[4], values[5]) : 0;
        words[s].w = mine ? pack2<ELEMENT>(values[6], values[7]) : 0;
    }
};

// sums[row] of the warp's features, for rows in shared memory; what is past `rows` is anything. A product waits for the one before it that
// adds to the same sums: all tiles' are under way together, and those of a tile in `chains`.
template <int most_rows, int features, int pitch = pitch_of(features)>
__device__ __forceinline__ void multiply(const unsigned char *matrix, int rows, const Slice<features> &slice, const Factors<features> &x,
                                         float *sums)
{
    constexpr int tiles = quotient(most_rows, tile_rows), products = 2 * Slice<features>::most;
    constexpr int wanted = quotient(4, tiles), chains = products < wanted ? products : wanted;
    const int g = threadIdx.x % 32 / 4, last = max(rows - 1, 0);
    float d[tiles][chains][4] = {};
#pragma unroll
    for (int s = 0; s < Slice<features>::most; s++)
    {
        const int offset = slice.existing(s) * 2;
#pragma unroll
        for (int tile = 0; tile < tiles; tile++)
        {
            const int row = tile * tile_rows + g;
            const uint4 a = *reinterpret_cast<const uint4 *>(matrix + min(row, last) * pitch + offset);
            uint4 b = make_uint4(0, 0, 0, 0);
            if (tile * tile_rows + 8 < most_rows) b = *reinterpret_cast<const uint4 *>(matrix + min(row + 8, last) * pitch + offset);
            const unsigned first[4] = {a.x, b.x, a.y, b.y}, second[4] = {a.z, b.z, a.w, b.w};
            mma_16x8x16<ELEMENT>(d[tile][2 * s % chains], first, x.words[s].x, x.words[s].y);
            mma_16x8x16<ELEMENT>(d[tile][(2 * s + 1) % chains], second, x.words[s].z, x.words[s].w);
        }
    }
    if (threadIdx.x % 4 != 0) return;
#pragma unroll
    for (int tile = 0; tile < tiles; tile++)
#pragma unroll
        for (int half = 0; half < 2; half++)
        {
            float sum = 0;
#pragma unroll
            for (int chain = 0; chain < chains; chain++) sum += d[tile][chain][2 * half];
            sums[tile * tile_rows + 8 * half + g] = sum;
        }
}
