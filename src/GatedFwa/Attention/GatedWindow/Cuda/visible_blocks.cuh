// What lies in the band i - W + 1 <= j <= i of one segment, as VisibleBlocks.cs has it, in positions: only that is computed.
#pragma once

// The first key that the query at `row` sees; its segment begins at `start`.
__device__ __forceinline__ int first_visible_key(int row, int window, int start) { return max(start, row - window + 1); }

// One past the last query that sees the key before `key_end`; its segment ends at `end`.
__device__ __forceinline__ int end_of_seeing_rows(int key_end, int window, int end)
{
    return (int)min((long long)end, (long long)key_end - 1 + window);
}

// The first row of the block that holds `row`, in blocks counted from the segment's start.
__device__ __forceinline__ int block_start(int row, int rows, int start) { return start + (row - start) / rows * rows; }

// Whether every query of a run sees every key of another: nothing to mask.
__device__ __forceinline__ bool is_whole(int row, int rows, int key, int keys, int window)
{
    return row + rows - window <= key && row >= key + keys - 1;
}

// A run of up to 64 positions of one segment, [first, min(first + 64, end)): no tile mixes documents, so that a document gives
// the same bits alone and among others, and a NaN stays where it is.
struct Tile
{
    int batch, start, end, first;

    static constexpr int size = 64;

    // From the list (batch, start, end, first), or computed where every row is one segment.
    __device__ __forceinline__ Tile(int index, const int *list, int first_tile, int tiles_per_row, int positions)
    {
        if (list)
        {
            int4 entry = reinterpret_cast<const int4 *>(list)[index];
            batch = entry.x, start = entry.y, end = entry.z, first = entry.w;
        }
        else
        {
            batch = index / tiles_per_row, start = 0, end = positions;
            first = (first_tile + index % tiles_per_row) * size;
        }
    }
};
