// Sorts positions by their tokens, equal ones by position: a radix sort, 8 bits a pass. A block has 256 threads, one for each digit,
// and KEYS neighbouring keys.
#include "warp.cuh"

constexpr int digits = 256;
constexpr int keys_per_block = KEYS;
constexpr int warps = digits / 32;

// Tokens outside the vocabulary come last.
__device__ __forceinline__ int key_of(int token, int vocabulary) { return (unsigned)token < (unsigned)vocabulary ? token : vocabulary; }

// counts [256, blocks]: how often each digit comes in each block.
extern "C" __global__ void __launch_bounds__(256) sort_count(const int *keys, int count, int vocabulary, int shift, int *counts)
{
    __shared__ int bins[digits];
    bins[threadIdx.x] = 0;
    __syncthreads();
    for (int k = threadIdx.x; k < keys_per_block; k += digits)
    {
        int i = blockIdx.x * keys_per_block + k;
        // Integers: any order gives the same.
        if (i < count) atomicAdd(&bins[(key_of(keys[i], vocabulary) >> shift) & (digits - 1)], 1);
    }
    __syncthreads();
    counts[threadIdx.x * gridDim.x + blockIdx.x] = bins[threadIdx.x];
}

// counts → where each block's keys of each digit begin. One block.
extern "C" __global__ void __launch_bounds__(1024) sort_offsets(int *counts, int length)
{
    __shared__ int sums[2][1024];
    int share = (length + 1023) / 1024, begin = threadIdx.x * share, end = begin + share < length ? begin + share : length;
    int sum = 0;
    for (int i = begin; i < end; i++) sum += counts[i];
    int from = 0;
    sums[0][threadIdx.x] = sum;
    __syncthreads();
    for (int step = 1; step < 1024; step *= 2)
    {
        sums[1 - from][threadIdx.x] = sums[from][threadIdx.x] + ((int)threadIdx.x >= step ? sums[from][threadIdx.x - step] : 0);
        from = 1 - from;
        __syncthreads();
    }
    int offset = sums[from][threadIdx.x] - sum;
    for (int i = begin; i < end; i++)
    {
        int count = counts[i];
        counts[i] = offset;
        offset += count;
    }
}

// Moves keys and positions to their places. order may be absent: then a key's position is where it stands.
extern "C" __global__ void __launch_bounds__(256) sort_move(
    const int *keys, const int *order, int count, int vocabulary, int shift, const int *offsets, int *moved_keys, int *moved_order)
{
    __shared__ int places[warps][digits]; // First how many keys a warp has of a digit, then where the first of them goes.
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int next = offsets[threadIdx.x * gridDim.x + blockIdx.x]; // Of the digit that is this thread's.
    for (int k = threadIdx.x; k < keys_per_block; k += digits)
    {
        int i = blockIdx.x * keys_per_block + k, key = i < count ? key_of(keys[i], vocabulary) : 0, digit = (key >> shift) & (digits - 1);
        for (int w = 0; w < warps; w++) places[w][threadIdx.x] = 0;
        __syncthreads();
        unsigned equals = __ballot_sync(all_lanes, i < count); // Lanes with this lane's digit.
        for (int bit = 1; bit < digits; bit *= 2)
        {
            unsigned set = __ballot_sync(all_lanes, (digit & bit) != 0);
            equals &= (digit & bit) != 0 ? set : ~set;
        }
        int rank = __popc(equals & ((1u << lane) - 1));
        if (i < count && rank == 0) places[warp][digit] = __popc(equals);
        __syncthreads();
        for (int w = 0; w < warps; w++)
        {
            int keys_of_warp = places[w][threadIdx.x];
            places[w][threadIdx.x] = next;
            next += keys_of_warp;
        }
        __syncthreads();
        if (i < count)
        {
            int place = places[warp][digit] + rank;
            moved_keys[place] = key;
            moved_order[place] = order ? order[i] : i;
        }
        __syncthreads();
    }
}
