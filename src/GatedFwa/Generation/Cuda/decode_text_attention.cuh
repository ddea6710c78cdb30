// A unit of attention in decode_text.cu: some query heads of a key head over a part of the window, a tile of 32 keys a warp.
//
// `attend` is the way: the room, the projections, what a token makes of them, scores and sums by warps, joined.
#pragma once
#include "decode_text_decays.cuh"

// The sums of values[i] over `lanes` neighbouring lanes: lane i of them gets the i-th.
template <int lanes> __device__ __forceinline__ float sums_of_lanes(float (&values)[lanes])
{
#pragma unroll
    for (int step = lanes / 2; step > 0; step /= 2)
    {
        const bool upper = threadIdx.x & step;
#pragma unroll
        for (int i = 0; i < step; i++)
        {
            const float own = upper ? values[i + step] : values[i], others = upper ? values[i] : values[i + step];
            values[i] = own + __shfl_xor_sync(all_lanes, others, step);
        }
    }
    return values[0];
}

// Where projections of a token begin, behind queries and keys.
constexpr int first_value = query_width + key_width, first_mix = first_value + key_width;

struct Attention : Decays
{
    const float decay_epsilon, scale_log2;
    const int first_head, head_count;

    // In the unit's room, oldest first; of the token before, all keys and the value of the key head.
    ELEMENT *const newest_key, *const newest_value;
    const ELEMENT *const previous_keys, *const previous_value;

    __device__ __forceinline__ Attention(const Block &block, float decay_epsilon, float scale_log2)
        : Decays(block), decay_epsilon(decay_epsilon), scale_log2(scale_log2), first_head(unit.first_head()), head_count(unit.head_count()),
          newest_key(reinterpret_cast<ELEMENT *>(rooms + ROOM_RING) + (keys - 1) * HEAD_SIZE), newest_value(newest_key + keys * HEAD_SIZE),
          previous_keys(reinterpret_cast<const ELEMENT *>(rooms + ROOM_RING + previous_keys_at)),
          previous_value(reinterpret_cast<const ELEMENT *>(rooms + ROOM_RING + previous_value_at))
    {
    }

    // What lies past a text's oldest key weighs nothing, but must be numbers. By all threads of the block.
    __device__ __forceinline__ void clear_room() const
    {
        if (!unit.exists || age_count >= keys) return;
        for (int i = threadIdx.x; i < query_norm_at / 16; i += threads + 32)
            reinterpret_cast<uint4 *>(rooms + ROOM_RING)[i] = make_uint4(0, 0, 0, 0);
        fence_shared_async();
    }

    // Of the token's position, by those that compute; seen behind begin's sync.
    __device__ __forceinline__ void make_angles(const double *frequencies) const
    {
        if (!unit.exists || !ROTARY) return;
        for (int j = threadIdx.x; j < half; j += threads)
        {
            double sine, cosine;
            sincos((double)place.position * frequencies[j], &sine, &cosine);
            shared.angles[j] = (float)cosine;
            shared.angles[half + j] = (float)sine;
        }
    }

    // The first layer's decays, which no layer ahead has read.
    __device__ __forceinline__ void begin()
    {
        read_decays(of_layers[0]);
        add_decays();
        sync();
        join_decays();
    }

    // From the projections of a layer to the unit's parts.
    __device__ __forceinline__ void attend(int index)
    {
        if (!unit.exists) return;
        await_room(attention, index);
        if (unit.has_slot()) await_projections<true>(tag_of(index));
        else await_projections<false>(tag_of(index));
        sync();
        make_token(of_layers[index]);
        fence_shared_async();   // The copy engine comes after what was written to the room.
        sync();
        gather();
        sync();
        publish_parts(tag_of(index));
        release(attention);
        if (index + 1 < layers) read_decays(of_layers[index + 1]);
    }

    // All units have read the token before, behind the output projection: this one takes its place.
    __device__ __forceinline__ void keep_token(const Layer &layer) const
    {
        if (!SHIFTED || !unit.has_slot() || unit.slice != 0 || place.is_idle || (int)threadIdx.x < 32) return;
        for (int i = threadIdx.x - 32; i < 2 * HEAD_SIZE; i += threads - 32)
        {
            const int d = i % HEAD_SIZE, at = unit.key_head * HEAD_SIZE + d;
            ELEMENT *kept = i < HEAD_SIZE ? layer.previous_keys : layer.previous_values;
            kept[at] = from_float<ELEMENT>(shared.projections[query_width + i / HEAD_SIZE * key_width + at]);
        }
    }

private:
    static __device__ __forceinline__ float shifted(float x, float before, float mix)
    {
        const float share = fast_sigmoid(mix);
        return share * x + (1.f - share) * before;
    }

    // The words that the unit wants, two neighbours at a time: all queries, for their norm's sake, and for the slot all keys, each
    // with its head's mix, its own value and the value's mix. The norms' squares are added up as they come.
    template <bool with_slot> __device__ __forceinline__ void await_projections(unsigned tag) const
    {
        constexpr int query_pairs = query_width / 2, key_pairs = with_slot ? key_width / 2 : 0;
        constexpr int value_pairs = with_slot ? (HEAD_SIZE + mixes) / 2 : 0;
        constexpr int query_loads = quotient(query_pairs, threads), key_loads = quotient(key_pairs, threads);
        constexpr int mix_loads = SHIFTED && NORM ? key_loads : 0, value_loads = quotient(value_pairs, threads);
        constexpr int loads = query_loads + key_loads + mix_loads + value_loads;
        const uint4 *sources[loads];
        uint2 words[loads];
        int index[loads];
#pragma unroll
        for (int i = 0; i < loads; i++)
        {
            const int thread = threadIdx.x;
            if (i < query_loads)
                index[i] = 2 * min(i * threads + thread, query_pairs - 1);
            else if (i < query_loads + key_loads)
                index[i] = query_width + 2 * min((i - query_loads) * threads + thread, key_pairs - 1);
            else if (i < query_loads + key_loads + mix_loads)
                index[i] = first_mix + (index[i - key_loads] - query_width) / HEAD_SIZE / 2 * 2;
            else
            {
                const int word = 2 * min((i - query_loads - key_loads - mix_loads) * threads + thread, value_pairs - 1);
                index[i] = word < HEAD_SIZE ? first_value + unit.key_head * HEAD_SIZE + word : first_mix + word - HEAD_SIZE;
            }
            sources[i] = reinterpret_cast<const uint4 *>(exchange->projections + index[i]);
        }
        await_pairs(sources, tag, words);
        float query_squares = 0, key_squares = 0;
#pragma unroll
        for (int i = 0; i < loads; i++)
        {
            if (i >= query_loads + key_loads && i < query_loads + key_loads + mix_loads) continue;
            float2 values = make_float2(__uint_as_float(words[i].x), __uint_as_float(words[i].y));
            *reinterpret_cast<float2 *>(shared.projections + index[i]) = values;
            if (i < query_loads)
            {
                const float square = values.x * values.x + values.y * values.y;
                query_squares += i * threads + (int)threadIdx.x < query_pairs ? square : 0.0f;
            }
            else if (i < query_loads + key_loads)
            {
                if (SHIFTED && NORM)
                {
                    const int key = index[i] - query_width;
                    const unsigned mix = key / HEAD_SIZE % 2 ? words[(i + key_loads) % loads].y : words[(i + key_loads) % loads].x;
                    values.x = shifted(values.x, to_float(previous_keys[key]), __uint_as_float(mix));
                    values.y = shifted(values.y, to_float(previous_keys[key + 1]), __uint_as_float(mix));
                }
                const float square = values.x * values.x + values.y * values.y;
                key_squares += (i - query_loads) * threads + (int)threadIdx.x < key_pairs ? square : 0.0f;
            }
        }
        if (!NORM) return;
        query_squares = warp_sum(query_squares);
        if (with_slot) key_squares = warp_sum(key_squares);
        if (lane != 0) return;
        shared.query_squares[warp] = query_squares;
        shared.key_squares[warp] = key_squares;
    }

    __device__ __forceinline__ float norm_factor(const float (&squares)[warps], float share) const
    {
        float sum = 0;
#pragma unroll
        for (int w = 0; w < warps; w++) sum += squares[w];
        return rsqrtf(fmaf(sum, share, epsilon));
    }

    // From projections to queries in shared memory and, where the unit makes it, the ring's newest slot, there and in the room. Pairs of
    // the queries, of the key, of the value, and the decays are a thread's each.
    __device__ __forceinline__ void make_token(const Layer &layer) const
    {
        const int slot_pairs = unit.has_slot() ? 2 * half : 0, decays = GATED && unit.has_slot() ? head_count : 0;
        for (int i = threadIdx.x; i < head_count * half + slot_pairs + decays; i += threads)
        {
            const int kind = i / half, pair = i % half;
            if (kind < head_count) make_query(kind, pair);
            else if (kind == head_count) make_key(layer, pair);
            else if (kind == head_count + 1) make_value(layer, pair);
            else make_decay(layer, i - (head_count + 2) * half);
        }
    }

    __device__ __forceinline__ void make_query(int h, int pair) const
    {
        const int other = pair + half;
        const float *own = shared.projections + (first_head + h) * HEAD_SIZE;
        const float *factors = reinterpret_cast<const float *>(rooms + ROOM_RING + query_norm_at) + h * HEAD_SIZE;
        Pair query = {own[pair], own[other]};
        if (NORM) query.scale(norm_factor(shared.query_squares, 1.f / query_width), {factors[pair], factors[other]});
        if (ROTARY) query.turn({shared.angles[pair], shared.angles[other]});
        shared.query[h][pair] = query.first * scale_log2;
        shared.query[h][other] = query.second * scale_log2;
    }

    __device__ __forceinline__ void make_key(const Layer &layer, int pair) const
    {
        const int other = pair + half;
        const float *own = shared.projections + query_width + unit.key_head * HEAD_SIZE;
        const float *factors = reinterpret_cast<const float *>(rooms + ROOM_RING + key_norm_at);
        Pair key = {own[pair], own[other]};
        if (SHIFTED)
        {
            const ELEMENT *previous = previous_keys + unit.key_head * HEAD_SIZE;
            const float mix = shared.projections[first_mix + unit.key_head];
            key = {shifted(key.first, to_float(previous[pair]), mix), shifted(key.second, to_float(previous[other]), mix)};
        }
        if (NORM) key.scale(norm_factor(shared.key_squares, 1.f / key_width), {factors[pair], factors[other]});
        if (ROTARY) key.turn({shared.angles[pair], shared.angles[other]});
        key.store(newest_key, pair);
        key.store(layer.keys + ((long long)unit.key_head * place.capacity + newest_slot()) * HEAD_SIZE, pair);
    }

    __device__ __forceinline__ void make_value(const Layer &layer, int pair) const
    {
        const int other = pair + half;
        const float *own = shared.projections + first_value + unit.key_head * HEAD_SIZE;
        Pair value = {own[pair], own[other]};
        if (SHIFTED)
        {
            const float mix = shared.projections[first_mix + KEY_HEADS + unit.key_head];
            value = {shifted(value.first, to_float(previous_value[pair]), mix),
                     shifted(value.second, to_float(previous_value[other]), mix)};
        }
        value.store(newest_value, pair);
        value.store(layer.values + ((long long)unit.key_head * place.capacity + newest_slot()) * HEAD_SIZE, pair);
    }

    __device__ __forceinline__ void make_decay(const Layer &layer, int h) const
    {
        const float *own = shared.projections + projected + first_head + h;
        const float newest = gate_decay(own[0] + shared.bias[h], own[QUERY_HEADS], decay_epsilon);
        layer.alpha[(long long)(first_head + h) * place.capacity + newest_slot()] = newest;
        shared.newest_alpha[h] = newest;
    }

    __device__ __forceinline__ int newest_slot() const
    {
        return slot_of_age(0, place.cursor.x, place.cursor.y, place.capacity);
    }

    // The lane's pack of features of the newest key that it reads; others are keys_per_read apart.
    __device__ __forceinline__ bool has_feature() const { return part * pack < HEAD_SIZE; }
    __device__ __forceinline__ int feature() const { return has_feature() ? part * pack : 0; }
    __device__ __forceinline__ const ELEMENT *newest_of_tile() const
    {
        return newest_key - (warp * tile_keys + key_in_read) * HEAD_SIZE + feature();
    }

    // The warp's tile: scores, their highest, and values times weights. A lane has a pack of features of several keys at once; the lanes
    // that share a key then have a score each.
    __device__ __forceinline__ void gather() const
    {
        float weights[HEADS];
        weigh(weights);
        add_values(weights);
    }

    // Of the lane's key: its weight relative to the tile's highest.
    __device__ __forceinline__ void weigh(float (&score)[HEADS]) const
    {
        float products[HEADS][reads];
#pragma unroll
        for (int r = 0; r < reads; r++)
        {
            float k[pack];
            Pack16<ELEMENT>::load(newest_of_tile() - r * keys_per_read * HEAD_SIZE, k);
#pragma unroll
            for (int h = 0; h < HEADS; h++)
            {
                float q[pack], product = 0;
                load(shared.query[h] + feature(), q);
#pragma unroll
                for (int i = 0; i < pack; i++) product = fmaf(q[i], k[i], product);
                products[h][r] = has_feature() ? product : 0.0f;
            }
        }
#pragma unroll
        for (int h = 0; h < HEADS; h++)
        {
            score[h] = sums_of_lanes(products[h]) - decay[h];
            if (GATED && unit.has_slot() && age > 0) score[h] -= shared.newest_alpha[min(h, head_count - 1)] * (float)log2_e;
            if (age >= place.cursor.y) score[h] = minus_infinity();
            const float highest = warp_max(score[h]);
            score[h] = weight_of(score[h], highest);
            if (lane == 0) shared.highest[warp][h] = highest;
        }
    }

    __device__ __forceinline__ void add_values(const float (&weights)[HEADS]) const
    {
        float sums[HEADS][pack] = {};
#pragma unroll
        for (int r = 0; r < reads; r++)
        {
            float v[pack];
            Pack16<ELEMENT>::load(newest_of_tile() + (keys - r * keys_per_read) * HEAD_SIZE, v);
#pragma unroll
            for (int h = 0; h < HEADS; h++)
            {
                const float weight = __shfl_sync(all_lanes, weights[h], key_in_read * key_lanes + r);
#pragma unroll
                for (int i = 0; i < pack; i++) sums[h][i] = fmaf(weight, v[i], sums[h][i]);
            }
        }
#pragma unroll
        for (int h = 0; h < HEADS; h++)
        {
            const float weight = warp_sum(weights[h]);
#pragma unroll
            for (int i = 0; i < pack; i++)
#pragma unroll
                for (int step = key_lanes; step < 32; step <<= 1) sums[h][i] += __shfl_xor_sync(all_lanes, sums[h][i], step);
            if (lane == 0) shared.weight[warp][h] = weight;
            if (key_in_read == 0 && has_feature()) store(sums[h], shared.outputs[warp][h] + feature());
        }
    }

    // Joins the warps' tiles: what a unit leaves of its heads, [part_words] each, a word a thread.
    __device__ __forceinline__ void publish_parts(unsigned tag) const
    {
        for (int i = threadIdx.x; i < head_count * part_words; i += threads)
        {
            const int h = i / part_words, d = i % part_words;
            float highest = minus_infinity(), sum = 0, factor[warps];
#pragma unroll
            for (int w = 0; w < warps; w++) highest = fmaxf(highest, shared.highest[w][h]);
#pragma unroll
            for (int w = 0; w < warps; w++)
            {
                factor[w] = weight_of(shared.highest[w][h], highest);
                sum = fmaf(factor[w], d < HEAD_SIZE ? shared.outputs[w][h][d] : shared.weight[w][h], sum);
            }
            if (d == highest_at) sum = highest;
            if (d == decay_at)
            {
                double all = 0;
                for (int w = 0; GATED && w < warps; w++) all += shared.alphas[w][h];
                sum = (float)(all * log2_e) + (GATED && unit.has_slot() ? shared.newest_alpha[h] * (float)log2_e : 0.0f);
            }
            publish_copies(exchange->parts, ((first_head + h) * SPLITS + unit.split) * part_words + d, __float_as_uint(sum), tag);
        }
    }
};
