// How the warps that share a head's window walk it: in stretches of as many tiles, from the newest age on.
#pragma once

constexpr int tile_keys = 32;

// Of `count` ages for so many warps.
__device__ __forceinline__ int tiles_of_stretch(int count, int warps)
{
    const int tiles = (count + tile_keys - 1) / tile_keys;
    return (tiles + warps - 1) / warps;
}

// Ages past the oldest read its slot. `next` is one past the newest.
__device__ __forceinline__ int slot_of_age(int age, int next, int count, int capacity)
{
    const int slot = next - 1 - min(age, count - 1);
    return slot < 0 ? slot + capacity : slot;
}

// Slots that follow one another, oldest age first; those that are left go on at the ring's beginning.
struct SlotRun { int first, count; };

// Of `keys` ages from `newest` on, which exist.
__device__ __forceinline__ SlotRun slots_of_ages(int newest, int keys, int next, int capacity)
{
    const int first = next - newest - keys, wrapped = first < 0 ? first + capacity : first;
    return {wrapped, min(keys, capacity - wrapped)};
}
