// What both directions share on their way along a band: the ring of tiles, and the scores of a thread's two rows that nobody sees.
#pragma once
#include "hopper.cuh"

// Walks the stages of a ring of tiles: which one, and the parity that its barrier has there.
template <int count> struct Ring
{
    int stage = 0;
    unsigned phase = 0;
    __device__ void next()
    {
        if (++stage == count) { stage = 0; phase ^= 1; }
    }
};

// Each thread tells for itself that it has read a tile: what a lane read before a __syncwarp is in order, too, if another lane tells
// of it, but compute-sanitizer's racecheck does not see that.
__device__ __forceinline__ void release(Barrier *empty) { barrier_arrive(empty); }

// Columns before the first that each of a thread's rows sees, and after the last: blocks that need both are few. Of the octets
// [first_octet, end_octet) of the scores, the first of all octets being that of `first_column`.
template <int first_octet, int end_octet, int count>
__device__ __forceinline__ void hide_earlier(float (&s)[count], const int (&first_seen)[2], int first_column)
{
    int column = first_column + 2 * (threadIdx.x % 4), first[2] = {first_seen[0] - column, first_seen[1] - column};
#pragma unroll
    for (int i = 4 * first_octet; i < 4 * end_octet; i++)
        if (i / 4 * 8 + i % 2 < first[i / 2 % 2]) s[i] = -INFINITY;
}
template <int first_octet, int end_octet, int count>
__device__ __forceinline__ void hide_later(float (&s)[count], const int (&last_seen)[2], int first_column)
{
    int column = first_column + 2 * (threadIdx.x % 4), last[2] = {last_seen[0] - column, last_seen[1] - column};
#pragma unroll
    for (int i = 4 * first_octet; i < 4 * end_octet; i++)
        if (i / 4 * 8 + i % 2 > last[i / 2 % 2]) s[i] = -INFINITY;
}
