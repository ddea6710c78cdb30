// What lies between a layer's projections of a token and its attention: token shift, QK norm, rotation and decay, each where the model
// has it. Each block of ring_decode.cu does as much of it as it needs; that all of them compute the norms' sums costs less than a kernel.
#pragma once
#include "elements.cuh"
#include "gate_decay.cuh"
#include "programmatic.cuh"
#include "warp.cuh"

constexpr int half = HEAD_SIZE / 2;
constexpr int query_width = QUERY_HEADS * HEAD_SIZE, key_width = KEY_HEADS * HEAD_SIZE;

// Both halves' elements of a pair that is turned together; in between, the shift's mix with the token before.
struct Pair
{
    float first, second;

    template <class T> static __device__ __forceinline__ Pair of(const T *row, int index)
    {
        const int at = index / half * HEAD_SIZE + index % half;
        return {to_float(row[at]), to_float(row[at + half])};
    }

    // As the ordinary steps keep it: the token before in the activations' type.
    __device__ __forceinline__ void shift(float mix, const Pair &previous)
    {
        const float share = 1.f / (1.f + expf(-mix));
        first = share * first + (1.f - share) * previous.first;
        second = share * second + (1.f - share) * previous.second;
    }

    __device__ __forceinline__ void store(ELEMENT *target, int index) const
    {
        const int at = index / half * HEAD_SIZE + index % half;
        target[at] = from_float<ELEMENT>(first);
        target[at + half] = from_float<ELEMENT>(second);
    }

    __device__ __forceinline__ void scale(float factor, const Pair &weight)
    {
        first *= factor * weight.first;
        second *= factor * weight.second;
    }

    // `angle`: its cosine and sine.
    __device__ __forceinline__ void turn(const Pair &angle)
    {
        const float turned = first * angle.first - second * angle.second;
        second = second * angle.first + first * angle.second;
        first = turned;
    }
};

// What a thread will want of a token that no kernel ahead writes: in its registers before the projections can be read.
template <int threads> struct Parameters
{
    static constexpr int rounds = (HEADS * half + threads - 1) / threads;   // Over the block's queries; a key's pairs are one.
    Pair query_norm[rounds], query_angle[rounds], key_norm, key_angle, previous_key, previous_value;
    float bias;
};

// A row of projections is float [query | key | value | key shift | value shift | decay's h | its amplitude].
struct Token
{
    const float *projections;
    int stride; // From row to row.
    const float *query_norm, *key_norm;
    float epsilon;
    const float *angles;                              // [B, HEAD_SIZE]: cosines, sines of the token's position.
    const ELEMENT *previous_keys, *previous_values;   // [B, key_width]: the token before, ahead of its shift.
    const float *bias;                                // Of the decay.
    float decay_epsilon;

    // The pair that a thread has in a round over the block's queries, and of the key and value; past the last, the last.
    template <int threads> static __device__ __forceinline__ int query_pair(int round, int first_head, int head_count)
    {
        return first_head * half + min(round * threads + (int)threadIdx.x, head_count * half - 1);
    }
    static __device__ __forceinline__ int slot_pair(int key_head) { return key_head * half + min((int)threadIdx.x, half - 1); }

    // Before the projections can be read. What all of the keys' squares want of the token before comes nearer.
    template <int threads>
    __device__ __forceinline__ Parameters<threads> parameters(int row, int key_head, int first_head, int head_count, bool with_slot) const
    {
        Parameters<threads> own;
        const int slot = slot_pair(key_head);
#pragma unroll
        for (int r = 0; r < Parameters<threads>::rounds; r++)
        {
            const int index = query_pair<threads>(r, first_head, head_count);
            if (NORM) own.query_norm[r] = Pair::of(query_norm, index);
            if (ROTARY) own.query_angle[r] = Pair::of(angles + row * HEAD_SIZE, index % half);
        }
        if (NORM) own.key_norm = Pair::of(key_norm, slot);
        if (ROTARY) own.key_angle = Pair::of(angles + row * HEAD_SIZE, slot % half);
        if (GATED) own.bias = bias[first_head + min((int)threadIdx.x, head_count - 1)];
#if SHIFTED
        own.previous_key = Pair::of(previous_keys + row * key_width, slot);
        own.previous_value = Pair::of(previous_values + row * key_width, slot);
#if NORM
        constexpr int line = 128 / sizeof(ELEMENT);
        for (int i = threadIdx.x * line; with_slot && i < key_width; i += threads * line) prefetch(previous_keys + row * key_width + i, 1);
#endif
#endif
        return own;
    }

    // The queries of some heads to shared memory and, where a block needs it, the token's slot of its key head's ring, which is left in
    // shared memory as well; `keys`, `values` and `alpha` begin at the slot, alpha's heads are `capacity` apart. `scratch` [2, warps].
    template <int threads>
    __device__ __forceinline__ void prepare(const Parameters<threads> &own, int row, int key_head, int first_head, int head_count,
                                            bool with_slot, float (*query)[HEAD_SIZE], ELEMENT *newest_key, ELEMENT *newest_value,
                                            ELEMENT *keys, ELEMENT *values, float *alpha, int capacity,
                                            float (*scratch)[threads / 32]) const
    {
        const float *q = projections + (long long)row * stride, *k = q + query_width, *v = k + key_width;
        const float *key_mix = v + key_width, *value_mix = key_mix + (SHIFTED ? KEY_HEADS : 0);
        const float *decay = value_mix + (SHIFTED ? KEY_HEADS : 0);

        // All that is read, before any of it is waited for.
        Pair queries[Parameters<threads>::rounds], key = Pair::of(k, slot_pair(key_head)), value = Pair::of(v, slot_pair(key_head));
#pragma unroll
        for (int r = 0; r < Parameters<threads>::rounds; r++) queries[r] = Pair::of(q, query_pair<threads>(r, first_head, head_count));
        float mixes[2] = {}, decays[2] = {};
        if (SHIFTED)
        {
            mixes[0] = key_mix[key_head];
            mixes[1] = value_mix[key_head];
        }
        if (GATED)
        {
            const int head = first_head + min((int)threadIdx.x, head_count - 1);
            decays[0] = decay[head];
            decays[1] = decay[QUERY_HEADS + head];
        }

        float factors[2] = {1, 1};
#if NORM
        // Loads by themselves: a division has branches, around which loads wait for one another.
        constexpr int rounds = (QUERY_HEADS * half + threads - 1) / threads, key_rounds = (KEY_HEADS * half + threads - 1) / threads;
        constexpr int at_once = key_rounds < 4 ? key_rounds : 4;
        float squares[2] = {};
        const ELEMENT *previous_key = previous_keys + row * key_width;
        Pair keys_now[at_once], keys_before[at_once];
        float key_mixes[at_once];
        const auto load_keys = [&](int done) {
#pragma unroll
            for (int r = 0; r < at_once; r++)
            {
                const int index = min((done + r) * threads + (int)threadIdx.x, KEY_HEADS * half - 1);
                keys_now[r] = Pair::of(k, index);
                if (!SHIFTED) continue;
                keys_before[r] = Pair::of(previous_key, index);
                key_mixes[r] = key_mix[index / half];
            }
        };
        load_keys(0);
#pragma unroll 4
        for (int round = 0; round < rounds; round++)
        {
            const int i = round * threads + threadIdx.x;
            const bool exists = i < QUERY_HEADS * half;
            const Pair pair = Pair::of(q, exists ? i : 0);
            squares[0] += exists ? pair.first * pair.first + pair.second * pair.second : 0.0f;
        }
        if (with_slot)
        {
            for (int done = 0; done < key_rounds; done += at_once)
            {
                if (done > 0) load_keys(done);
#pragma unroll
                for (int r = 0; r < at_once; r++)
                {
                    Pair pair = keys_now[r];
                    if (SHIFTED) pair.shift(key_mixes[r], keys_before[r]);
                    const bool exists = (done + r) * threads + threadIdx.x < KEY_HEADS * half;
                    squares[1] += exists ? pair.first * pair.first + pair.second * pair.second : 0.0f;
                }
            }
        }
#pragma unroll
        for (int i = 0; i < 2; i++)
        {
            squares[i] = warp_sum(squares[i]);
            if (threadIdx.x % 32 == 0) scratch[i][threadIdx.x / 32] = squares[i];
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < 2; i++)
        {
            float all = 0;
#pragma unroll
            for (int w = 0; w < threads / 32; w++) all += scratch[i][w];
            factors[i] = 1.f / sqrtf(all / (i == 0 ? query_width : key_width) + epsilon);
        }
#endif
#pragma unroll
        for (int r = 0; r < Parameters<threads>::rounds; r++)
        {
            const int i = r * threads + threadIdx.x;
            if (NORM) queries[r].scale(factors[0], own.query_norm[r]);
            if (ROTARY) queries[r].turn(own.query_angle[r]);
            if (i >= head_count * half) continue;
            query[i / half][i % half] = queries[r].first;
            query[i / half][i % half + half] = queries[r].second;
        }
        if (with_slot)
        {
            if (SHIFTED)
            {
                key.shift(mixes[0], own.previous_key);
                value.shift(mixes[1], own.previous_value);
            }
            if (NORM) key.scale(factors[1], own.key_norm);
            if (ROTARY) key.turn(own.key_angle);
            if (threadIdx.x < half)
            {
                key.store(keys, threadIdx.x);
                key.store(newest_key, threadIdx.x);
                value.store(values, threadIdx.x);
                value.store(newest_value, threadIdx.x);
            }
#if GATED
            if (threadIdx.x < head_count)
                alpha[(long long)threadIdx.x * capacity] = gate_decay(decays[0] + own.bias, decays[1], decay_epsilon);
#endif
        }
        __syncthreads();
    }
};
