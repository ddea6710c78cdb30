// How the keys and values of a warp's stretch come to it: a group of reads at a time, first a tile's keys, then its values. A read is
// 16 bytes a lane, of several keys where they are short. To registers, or (STAGES) through shared memory.
#pragma once
#include "elements.cuh"
#include "programmatic.cuh"
#include "ring_lanes.cuh"
#if STAGES
#include "hopper.cuh"
#endif

constexpr int most_at_once = STAGES ? STAGE_READS : 8;
constexpr int reads_at_once = reads < most_at_once ? reads : most_at_once;

// What a warp reads of a head's ring.
struct Walk
{
    const ELEMENT *keys, *values; // [capacity, HEAD_SIZE].
    int next, count, capacity, first_tile, end_tile;

    __device__ __forceinline__ int slot_of(int age) const { return slot_of_age(age, next, count, capacity); }
};

__device__ __forceinline__ int feature_of(int p) { return (p * key_lanes + (int)threadIdx.x % key_lanes) * pack; }

#if STAGES

// A stage holds a group's keys or values as they lie in the ring, the newest at its end. All stages are on their way before the first is
// waited for, and each again as soon as it has been used: what is under way takes no registers. A warp has stages of its own. So many
// groups after those (STAGES_AHEAD) come nearer meanwhile: memory has little to do until a token's projections are there.
class Reads
{
    static constexpr int stage_keys = reads_at_once * keys_per_read, groups = tile_keys / stage_keys, lanes = 32;
    static constexpr int stage_elements = stage_keys * HEAD_SIZE, key_bytes = HEAD_SIZE * (int)sizeof(ELEMENT);

public:
    // A block's.
    struct __align__(128) Memory
    {
        union
        {
            ELEMENT slots[STAGES][stage_elements];
            float sums[HEADS][HEAD_SIZE];   // What a warp leaves, once it has read all.
        } of_warp[WARPS];
        Barrier full[WARPS][STAGES];
    };

    // Sends for the first groups.
    __device__ __forceinline__ Reads(const Walk &walk, Memory &memory, int warp)
        : _walk(walk), _slots(memory.of_warp[warp].slots), _full(memory.full[warp])
    {
        if (lane() == 0)
        {
#pragma unroll
            for (int i = 0; i < STAGES; i++) barrier_init(&_full[i], 1);
            barrier_init_fence();
        }
        // What lies past a text's oldest key weighs nothing, but must be numbers: zeros, or what was there before.
        for (int i = lane(); i < STAGES * stage_elements / pack; i += lanes)
            reinterpret_cast<uint4 *>(_slots[0])[i] = make_uint4(0, 0, 0, 0);
        fence_shared_async(); // Copies come after these.
        __syncwarp();
#pragma unroll
        for (int i = 0; i < STAGES; i++) send(i);
        if (lane() < STAGES_AHEAD) prefetch_group(STAGES + lane());
    }

    // The newest position, which is not in the ring yet.
    __device__ __forceinline__ void put_newest(const ELEMENT *key, const ELEMENT *value)
    {
        _newest_key = key;
        _newest_value = value;
    }

    __device__ __forceinline__ void await_keys(int tile, int first_read) { await(tile, first_read, _newest_key); }
    __device__ __forceinline__ void await_values(int tile, int first_read) { await(tile, first_read, _newest_value); }
    __device__ __forceinline__ void turn_to_values(int) {}
    __device__ __forceinline__ void turn_to_keys(int) {}

    // The group has been used.
    __device__ __forceinline__ void release()
    {
        __syncwarp();
        send(_stage);
        if (++_stage == STAGES) _stage = 0, _parity ^= 1;
    }

    __device__ __forceinline__ void values_of(int r, int p, float *values) const
    {
        const int key_in_read = lane() / key_lanes, feature = feature_of(p);
        const ELEMENT *newest = _slots[_stage] + (stage_keys - 1 - key_in_read) * HEAD_SIZE;
        uint4 words = make_uint4(0, 0, 0, 0);
        if (feature < HEAD_SIZE) words = *reinterpret_cast<const uint4 *>(newest - r * keys_per_read * HEAD_SIZE + feature);
        Pack16<ELEMENT>::load(reinterpret_cast<const ELEMENT *>(&words), values);
    }

private:
    static __device__ __forceinline__ int lane() { return threadIdx.x % lanes; }

    // Keys of the group that begins with an age, as far as there are any.
    __device__ __forceinline__ int keys_from(int age) const { return max(0, min(stage_keys, _walk.count - age)); }

    // What a group is copied from.
    struct Source
    {
        const ELEMENT *slots;
        int keys;
        SlotRun run;
    };

    // The keys' and the values' groups take turns, tile by tile; whether the stretch has such a group.
    __device__ __forceinline__ bool find(int group, Source &source) const
    {
        const int tile = _walk.first_tile + group / (2 * groups), age = tile * tile_keys + group % groups * stage_keys;
        source.slots = group / groups % 2 == 0 ? _walk.keys : _walk.values;
        source.keys = keys_from(age);
        source.run = slots_of_ages(age, source.keys, _walk.next, _walk.capacity);
        return tile < _walk.end_tile;
    }

    __device__ __forceinline__ void send(int stage)
    {
        Source source;
        const bool exists = find(_sent++, source);
        if (!exists || lane() != 0) return;
        const int first = source.run.count, rest = source.keys - first;
        ELEMENT *target = _slots[stage] + (stage_keys - source.keys) * HEAD_SIZE;
        Barrier *full = &_full[stage];
        barrier_arrive_expect(full, source.keys * key_bytes);
        if (first > 0) copy_bytes_once(target, source.slots + (long long)source.run.first * HEAD_SIZE, first * key_bytes, full);
        if (rest > 0) copy_bytes_once(target + first * HEAD_SIZE, source.slots, rest * key_bytes, full);
    }

    __device__ __forceinline__ void prefetch_group(int group) const
    {
        Source source;
        if (!find(group, source)) return;
        const int first = source.run.count, rest = source.keys - first;
        if (first > 0) prefetch_many(source.slots + (long long)source.run.first * HEAD_SIZE, first * key_bytes);
        if (rest > 0) prefetch_many(source.slots, rest * key_bytes);
    }

    __device__ __forceinline__ void await(int tile, int first_read, const ELEMENT *newest)
    {
        barrier_wait(&_full[_stage], _parity);
        if (tile > 0 || first_read > 0) return;
        ELEMENT *slot = _slots[_stage] + stage_elements - HEAD_SIZE;
        for (int i = lane(); i < head_packs; i += lanes) reinterpret_cast<uint4 *>(slot)[i] = reinterpret_cast<const uint4 *>(newest)[i];
        fence_shared_async(); // Later copies to the stage come after these.
        __syncwarp();
    }

    const Walk &_walk;
    ELEMENT (*_slots)[stage_elements];
    Barrier *_full;
    const ELEMENT *_newest_key = nullptr, *_newest_value = nullptr;
    int _sent = 0, _stage = 0;
    unsigned _parity = 0;
};

#else

// All reads of a group are on their way before the first is used; zeros past the head's end. What follows is sent for as soon as the
// registers are free, and comes nearer before that.
class Reads
{
public:
    struct Memory
    {
        struct { float sums[HEADS][HEAD_SIZE]; } of_warp[WARPS];
    };

    __device__ __forceinline__ Reads(const Walk &walk, Memory &, int) : _walk(walk)
    {
        if (walk.first_tile < walk.end_tile) fetch(walk.keys, walk.first_tile, 0);
        prefetch_tile(walk.values, walk.first_tile);
    }

    // By the lanes of the first key, in place of what was read of it. The value will be in the ring when it is read.
    __device__ __forceinline__ void put_newest(const ELEMENT *key, const ELEMENT *)
    {
        if (_walk.first_tile > 0 || threadIdx.x % 32 >= key_lanes) return;
#pragma unroll
        for (int p = 0; p < packs_per_lane; p++)
            if (feature_of(p) < HEAD_SIZE) _words[0][p] = *reinterpret_cast<const uint4 *>(key + feature_of(p));
    }

    __device__ __forceinline__ void await_keys(int tile, int first_read)
    {
        if (first_read > 0) fetch(_walk.keys, tile, first_read);
    }

    __device__ __forceinline__ void await_values(int tile, int first_read)
    {
        if (first_read > 0) fetch(_walk.values, tile, first_read);
    }

    __device__ __forceinline__ void turn_to_values(int tile)
    {
        fetch(_walk.values, tile, 0);
        prefetch_tile(_walk.keys, tile + 1);
    }

    __device__ __forceinline__ void turn_to_keys(int tile)
    {
        if (tile < _walk.end_tile) fetch(_walk.keys, tile, 0);
        prefetch_tile(_walk.values, tile);
    }

    __device__ __forceinline__ void release() {}

    __device__ __forceinline__ void values_of(int r, int p, float *values) const
    {
        Pack16<ELEMENT>::load(reinterpret_cast<const ELEMENT *>(&_words[r][p]), values);
    }

private:
    static __device__ __forceinline__ uint4 load(const ELEMENT *source)
    {
        return STREAMS ? load_once(source) : *reinterpret_cast<const uint4 *>(source);
    }

    __device__ __forceinline__ void fetch(const ELEMENT *source, int tile, int first_read)
    {
        const int key_in_read = threadIdx.x % 32 / key_lanes;
#pragma unroll
        for (int r = 0; r < reads_at_once; r++)
        {
            const int slot = _walk.slot_of(tile * tile_keys + (first_read + r) * keys_per_read + key_in_read);
            const ELEMENT *row = source + (long long)slot * HEAD_SIZE;
#pragma unroll
            for (int p = 0; p < packs_per_lane; p++)
                _words[r][p] = feature_of(p) < HEAD_SIZE ? load(row + feature_of(p)) : make_uint4(0, 0, 0, 0);
        }
    }

    // A tile's keys and values are sent for by turns, never both ahead: all warps' tiles together would not stay in the second-level
    // cache until they are read.
    __device__ __forceinline__ void prefetch_tile(const ELEMENT *source, int tile)
    {
        if (tile >= _walk.end_tile) return;
        prefetch(source + (long long)_walk.slot_of(tile * tile_keys + threadIdx.x % 32) * HEAD_SIZE, HEAD_SIZE * sizeof(ELEMENT));
    }

    const Walk &_walk;
    uint4 _words[reads_at_once][packs_per_lane];
};

#endif
