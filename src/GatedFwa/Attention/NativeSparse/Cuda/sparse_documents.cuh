// Where documents lie.
#pragma once

// The document of a position: [start, end) in its row of the batch, where its complete blocks begin among the row's pooled ones, and
// its blocks among all blocks. A position in padding has a start behind it.
struct Document
{
    int start, end, first_pooled, first_block;

    // From the list [B, S]; without one every row of the batch is a document.
    __device__ __forceinline__ Document(const int4 *documents, int batch, int position, int positions, int block_size)
    {
        if (documents)
        {
            int4 entry = documents[(long long)batch * positions + position];
            start = entry.x, end = entry.y, first_pooled = entry.z, first_block = entry.w;
        }
        else start = 0, end = positions, first_pooled = 0, first_block = batch * ((positions + block_size - 1) / block_size);
    }
};
