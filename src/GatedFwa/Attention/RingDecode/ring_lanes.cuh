// How the lanes of a warp share a tile of keys: a read is 16 bytes a lane, of several keys where they are short.
#pragma once
#include "elements.cuh"
#include "ring_walk.cuh"

constexpr int pack = Pack16<ELEMENT>::count;
constexpr int head_packs = HEAD_SIZE / pack;
constexpr int power_of_two(int at_least)
{
    int power = 1;
    while (power < at_least && power < 32) power *= 2;
    return power;
}
// Lanes that read one key: 16 bytes each, and a second time where 32 lanes do not suffice (float, above 128).
constexpr int key_lanes = power_of_two(head_packs);
constexpr int packs_per_lane = (head_packs + key_lanes - 1) / key_lanes;
constexpr int lane_features = packs_per_lane * pack;
constexpr int keys_per_read = 32 / key_lanes;
constexpr int reads = tile_keys / keys_per_read;
