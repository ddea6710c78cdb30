// What the ninth warp of decode_text.cu sends for, by the copy engine: the rooms of each layer's phases, as soon as those of the layer
// before have been read, then the block's rows of the vocabulary. One thread does it all: copies that several lanes ask for at once are
// issued one by one, with a vote around each, and take longer.
#pragma once
#include "decode_text_block.cuh"

struct Supply : Block
{
    __device__ __forceinline__ explicit Supply(const Block &block) : Block(block) {}

    // To the end.
    __device__ __forceinline__ void bring(const ELEMENT *head) const
    {
        for (int index = 0; index < layers; index++)
            for (int phase = 0; phase < phases; phase++)
            {
                if (phase == attention && !unit.exists) continue;
                if (index > 0) barrier_wait(&shared.empty[phase], (index - 1) % 2);
                send((Phase)phase, of_layers[index]);
            }
        bring_vocabulary(head);
    }

private:
    __device__ __forceinline__ void send(Phase phase, const Layer &layer) const
    {
        switch (phase)
        {
        case projections: send_projections(layer); break;
        case attention: send_ring(layer); break;
        case output:
            expect(output, stream_share.count * WIDTH * 2);
            send_rows(output, rooms + ROOM_OUTPUT, layer.output, WIDTH, stream_share.first, stream_share.count);
            break;
        case gate: send_gate(layer); break;
        default:
            expect(value, stream_share.count * HIDDEN * 2);
            send_rows(value, rooms + ROOM_VALUE, layer.down, HIDDEN, stream_share.first, stream_share.count);
            break;
        }
    }

    __device__ __forceinline__ void expect(Phase phase, int bytes) const { barrier_arrive_expect(&shared.full[phase], bytes); }

    // Rows of a matrix […, features].
    __device__ __forceinline__ void send_rows(Phase phase, unsigned char *room, const ELEMENT *matrix, int features, int first,
                                              int rows) const
    {
        const int pitch = pitch_of(features);
        matrix += (long long)first * features;
        for (int i = 0; i < rows; i++)
            copy_bytes_once(room + i * pitch, matrix + (long long)i * features, features * 2, &shared.full[phase]);
    }

    // The block's rows of all projections as if they were one matrix; of the decays, those of the unit that makes the ring's slot.
    __device__ __forceinline__ void send_projections(const Layer &layer) const
    {
        Barrier *full = &shared.full[projections];
        const int heads = GATED && unit.has_slot() ? unit.head_count() : 0;
        expect(projections, projection_share.count * WIDTH * 2 + WIDTH * 4 + heads * 2 * WIDTH * 4);
        for (int i = 0; i < projection_share.count; i++)
        {
            int row = projection_share.first + i, matrix = 0;
            const int rows[5] = {query_width, key_width, key_width, KEY_HEADS, KEY_HEADS};
#pragma unroll
            for (int m = 0; m < 4; m++)
            {
                if (matrix < m || row < rows[m]) continue;
                row -= rows[m];
                matrix = m + 1;
            }
            copy_bytes_once(rooms + i * width_pitch, layer.projections[matrix] + (long long)row * WIDTH, WIDTH * 2, full);
        }
        copy_bytes_once(rooms + projection_norm_at, layer.attention_norm, WIDTH * 4, full);
        for (int i = 0; i < 2 * heads; i++)
        {
            const float *weights = i < heads ? layer.decay_gate : layer.decay_amplitude;
            weights += (long long)(unit.first_head() + i % heads) * WIDTH;
            copy_bytes_once(rooms + decay_rows_at + i * WIDTH * 4, weights, WIDTH * 4, full);
        }
    }

    // The unit's part of the window, which may go on at the ring's beginning, and what makes its newest slot, which is still to be made.
    __device__ __forceinline__ void send_ring(const Layer &layer) const
    {
        Barrier *full = &shared.full[attention];
        const bool makes = unit.has_slot();
        const int count = max(age_count - makes, 0), bytes = HEAD_SIZE * 2, heads = unit.head_count();
        const SlotRun run = slots_of_ages(first_age + makes, count, place.cursor.x, place.capacity);
        unsigned char *room = rooms + ROOM_RING;
        const int norm_bytes = NORM ? (heads + makes) * HEAD_SIZE * 4 : 0;
        const int previous_bytes = SHIFTED && makes ? (key_width + HEAD_SIZE) * 2 : 0;
        expect(attention, count * 2 * bytes + norm_bytes + previous_bytes);
        const int rest = count - run.count;
#pragma unroll
        for (int i = 0; i < 2; i++)
        {
            const ELEMENT *source = (i == 0 ? layer.keys : layer.values) + (long long)unit.key_head * place.capacity * HEAD_SIZE;
            unsigned char *target = room + i * values_at + (keys - age_count) * bytes;
            if (count > 0) copy_bytes(target, source + (long long)run.first * HEAD_SIZE, run.count * bytes, full);
            if (rest > 0) copy_bytes(target + run.count * bytes, source, rest * bytes, full);
        }
        if (NORM) copy_bytes(room + query_norm_at, layer.query_norm + unit.first_head() * HEAD_SIZE, heads * HEAD_SIZE * 4, full);
        if (NORM && makes) copy_bytes(room + key_norm_at, layer.key_norm + unit.key_head * HEAD_SIZE, HEAD_SIZE * 4, full);
        if (SHIFTED && makes)
            copy_bytes(room + previous_value_at, layer.previous_values + unit.key_head * HEAD_SIZE, HEAD_SIZE * 2, full);
        if (SHIFTED && makes) copy_bytes(room + previous_keys_at, layer.previous_keys, key_width * 2, full);
    }

    __device__ __forceinline__ void send_gate(const Layer &layer) const
    {
        const int first = 2 * pair_share.first, rows = 2 * pair_share.count;
        expect(gate, 2 * rows * WIDTH * 2 + WIDTH * 4);
        send_rows(gate, rooms + ROOM_GATE, layer.gate, WIDTH, first, rows);
        send_rows(gate, rooms + ROOM_GATE + hidden_rows * width_pitch, layer.value, WIDTH, first, rows);
        copy_bytes_once(rooms + ROOM_GATE + gate_norm_at, layer.feed_forward_norm, WIDTH * 4, &shared.full[gate]);
    }

    // Tiles of [V, WIDTH], by turns of the slots. The first go where the last layer's phases have read their rooms.
    __device__ __forceinline__ void bring_vocabulary(const ELEMENT *head) const
    {
        const int tiles = vocabulary_tiles();
        constexpr int rooms_at[] = {0, ROOM_RING, ROOM_OUTPUT, ROOM_GATE, ROOM_VALUE};
        int free = 0;
        for (int tile = 0; tile < tiles; tile++)
        {
            const int slot = tile % SLOTS, first = tile * tile_rows, bytes = min(tile_rows, vocabulary_share.count - first) * WIDTH * 2;
            if (tile >= SLOTS) barrier_wait(&shared.slot_empty[slot], (tile / SLOTS - 1) % 2);
            for (; free < phases && rooms_at[free] < (slot + 1) * slot_bytes; free++)
                if (free != attention || unit.exists) barrier_wait(&shared.empty[free], (layers - 1) % 2);
            barrier_arrive_expect(&shared.slot_full[slot], bytes);
            copy_bytes_once(rooms + slot * slot_bytes, head + (vocabulary_share.first + (long long)first) * WIDTH, bytes,
                            &shared.slot_full[slot]);
        }
    }
};
