// Rows of a product: the heads that share a key head, of one query after the other.
//
// Defines: HEAD_SIZE, GROUP (heads that share a key head), ROW_GROUP (rows that a query takes of 16, a divisor).
#pragma once
#include "sparse_documents.cuh"
#include "sparse_terms.cuh"

constexpr int parts = (GROUP + ROW_GROUP - 1) / ROW_GROUP; // of a query with more than 16 heads a key head

struct Extents
{
    int tokens, positions, key_rows, heads, block_size; // key_rows: S, or C

    __device__ __forceinline__ int prefix() const { return positions - tokens; }
    __device__ __forceinline__ long long query_stride() const { return (long long)heads * HEAD_SIZE; }
    __device__ __forceinline__ long long key_stride() const { return (long long)(heads / GROUP) * HEAD_SIZE; }
    __device__ __forceinline__ long long query(int batch, int token, int head) const
    {
        return (((long long)batch * tokens + token) * heads + head) * HEAD_SIZE;
    }
    __device__ __forceinline__ long long key(int batch, int key_head) const { return (long long)batch * key_rows * key_stride() + key_head * HEAD_SIZE; }
};

// One of the two rows of which a lane holds accumulators.
struct Row
{
    int token, head;   // -1: no query
    int first, end;    // of the pooled rows that it sees
    int own, position; // the document's first position, and the query's in it; -1: padding

    Row() = default;
    __device__ __forceinline__ Row(const Extents &e, const int4 *documents, int batch, int key_head, int part, int first_token, int index)
    {
        token = first_token + index / ROW_GROUP;
        int member = part * ROW_GROUP + index % ROW_GROUP;
        head = key_head * GROUP + member;
        first = 0, end = 0x7fffffff, own = 0, position = -1; // Whatever a row sees that is none, nobody reads.
        bool is_query = token < e.tokens && member < GROUP;
        if (is_query)
        {
            int at = e.prefix() + token;
            Document document(documents, batch, at, e.positions, e.block_size);
            position = document.start <= at ? at - document.start : -1;
            own = document.start;
            first = document.first_pooled;
            end = first + (position + 1) / e.block_size;
        }
        else token = -1;
    }

    __device__ __forceinline__ bool sees(int key) const { return key >= first && key < end; }
    __device__ __forceinline__ bool sees_all(int key, int count) const { return key >= first && key + count <= end; }
};
