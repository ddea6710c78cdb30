// What a block of decode_text.cu knows before it begins, and how its warps hand on words. Whatever works on a phase derives from Block:
// all of it is inlined, and a copy costs nothing.
#pragma once
#include "decode_text_rooms.cuh"

// The unit of attention that a block is.
struct Unit
{
    int split, slice, key_head;
    bool exists;

    __device__ __forceinline__ Unit()
        : split(blockIdx.x % SPLITS), slice(blockIdx.x / SPLITS % slices), key_head(blockIdx.x / (SPLITS * slices)),
          exists(blockIdx.x < units)
    {
    }
    __device__ __forceinline__ int first_head() const { return key_head * group + slice * HEADS; }
    __device__ __forceinline__ int head_count() const { return min(HEADS, group - slice * HEADS); }
    __device__ __forceinline__ bool has_slot() const { return exists && split == 0; }
};

// Where the text is once its token has come.
struct Place
{
    int token;
    long long position;   // Of the token.
    bool is_idle;         // The text stays where it is.
    int2 cursor;          // One past the newest slot of its rings, slots in use.
    int capacity;         // Slots of a ring.

    __device__ __forceinline__ Place(int token, long long position, bool is_idle, int2 before, int capacity)
        : token(token), position(position), is_idle(is_idle), cursor(before), capacity(capacity)
    {
        if (!is_idle) cursor = make_int2((cursor.x + 1) % capacity, min(cursor.y + 1, capacity));
    }
};

struct Block
{
    unsigned char *const rooms;
    Shared &shared;
    const Layer *const of_layers;   // [layers], in shared memory.
    Exchange *const exchange;
    const int layers, vocabulary;
    const float epsilon;            // Of all norms.
    const Place place;
    const unsigned first_tag;       // That of layer 0. None is 0, with which memory begins.

    // What is its: a unit of attention, of so many ages from first_age on; rows of the projections, of what adds to x, pairs of rows of
    // gate and value, rows of the vocabulary.
    const Unit unit;
    const int first_age, age_count;
    const Share projection_share, stream_share, pair_share, vocabulary_share;
    const int warp, lane;

    __device__ __forceinline__ Block(unsigned char *rooms, Exchange *exchange, int layers, int vocabulary, float epsilon,
                                     const Place &place)
        : rooms(rooms), shared(*reinterpret_cast<Shared *>(rooms + ROOM_END)),
          of_layers(reinterpret_cast<const Layer *>(rooms + ROOM_TABLE)), exchange(exchange), layers(layers), vocabulary(vocabulary),
          epsilon(epsilon), place(place), first_tag(exchange->step * layers + 1),
          first_age(unit.split * keys), age_count(max(0, min(keys, place.cursor.y - first_age))), projection_share(projected),
          stream_share(WIDTH), pair_share(hidden_pairs), vocabulary_share(vocabulary), warp(threadIdx.x / 32), lane(threadIdx.x % 32)
    {
    }

    __device__ __forceinline__ unsigned tag_of(int layer) const { return first_tag + layer; }
    __device__ __forceinline__ int vocabulary_tiles() const { return quotient(vocabulary_share.count, tile_rows); }
    __device__ __forceinline__ int copy() const { return blockIdx.x % copies; }   // Of what all blocks read.

    // Of the eight warps that compute: the ninth has gone its way.
    __device__ __forceinline__ void sync() const { group_sync(1, threads); }

    // A room holds what a phase reads of a layer; all have read it, behind a sync.
    __device__ __forceinline__ void await_room(Phase phase, int layer) const { barrier_wait(&shared.full[phase], layer % 2); }
    __device__ __forceinline__ void release(Phase phase) const
    {
        if (threadIdx.x == 0) barrier_arrive(&shared.empty[phase]);
    }
};

// Words from pairs to shared memory, as soon as they are there, by a warp: an even number.
template <int most> __device__ __forceinline__ void await_words(const uint2 *pairs, int count, unsigned tag, float *target)
{
    constexpr int loads = quotient(most / 2, 32);
    if (count <= 0) return;
    const uint4 *sources[loads];
    uint2 words[loads];
#pragma unroll
    for (int i = 0; i < loads; i++)
        sources[i] = reinterpret_cast<const uint4 *>(pairs) + min(i * 32 + (int)threadIdx.x % 32, count / 2 - 1);
    await_pairs(sources, tag, words);
#pragma unroll
    for (int i = 0; i < loads; i++)
        reinterpret_cast<uint2 *>(target)[min(i * 32 + (int)threadIdx.x % 32, count / 2 - 1)] = words[i];
    __syncwarp();
}

// A word for all blocks.
template <int size> __device__ __forceinline__ void publish_copies(uint2 (*pairs)[size], int index, unsigned word, unsigned tag)
{
#pragma unroll
    for (int i = 0; i < copies; i++) publish(&pairs[i][index], word, tag);
}

__device__ __forceinline__ float fast_sigmoid(float x) { return __fdividef(1.f, 1.f + __expf(-x)); }
