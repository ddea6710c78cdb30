// The decay as a bias of scores: u_i - u_j = c(j) - c(i), c(p) the sum of alpha from the start of a base chunk to p. Totals of
// chunks are added up only between the two, so that position 1,000,000 is as exact as position 100.
#pragma once
#include "chunk_totals.cuh"

constexpr double decay_log2_e = 1.4426950408889634;

// Beyond this (log2 units) a float no longer holds c to the last place that counts: then c is two floats and the bias of each pair
// a difference of its own. Below it, c(j) is added to column j and c(i) is a constant of the row: the gate costs nothing.
constexpr float strong_decay = 512;

// One head and row of the batch: [S] and [chunks], each number in two floats.
struct DecayPrefix
{
    const float *local, *local_low, *totals, *totals_low;

    __device__ __forceinline__ DecayPrefix(const float *sums, const float *totals_of_chunks, int positions, int rows, int row)
    {
        int chunks = (positions + chunk_positions - 1) / chunk_positions;
        local = sums + (long long)row * positions;
        local_low = local + (long long)rows * positions;
        totals = totals_of_chunks + (long long)row * chunks;
        totals_low = totals + (long long)rows * chunks;
    }
};

// c in log2 units, as two floats.
struct Decay
{
    float high = 0, low = 0;
};

// Walks from position to position, each within a few chunks of the last.
struct DecayWalk
{
    int chunk;
    double offset = 0; // of the chunk from the base

    __device__ __forceinline__ explicit DecayWalk(int base) : chunk(base / chunk_positions) {}

    // c in log2 units.
    __device__ __forceinline__ double sum(const DecayPrefix &prefix, int position)
    {
        int target = position / chunk_positions;
        for (; chunk < target; chunk++) offset += (double)prefix.totals[chunk] + prefix.totals_low[chunk];
        for (; chunk > target; chunk--) offset -= (double)prefix.totals[chunk - 1] + prefix.totals_low[chunk - 1];
        return decay_log2_e * (offset + prefix.local[position] + prefix.local_low[position]);
    }

    __device__ __forceinline__ Decay at(const DecayPrefix &prefix, int position)
    {
        double c = sum(prefix, position);
        Decay decay;
        decay.high = (float)c;
        decay.low = (float)(c - decay.high);
        return decay;
    }
};

// u_i - u_j, rounded once it is small.
__device__ __forceinline__ float decay_between(Decay key, Decay row) { return (key.high - row.high) + (key.low - row.low); }
