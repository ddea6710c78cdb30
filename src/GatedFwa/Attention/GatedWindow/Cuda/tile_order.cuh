// Which tile comes when. A sequence is a head's text; `light` of its tiles lie near an end of it and see less than a window. Tiles that
// see a whole window come first, sequence by sequence, so that neighbours find each other's operands in the cache; then the light ones,
// the longest of all sequences first: blocks that have one tile more than others end with a short one.
#pragma once

struct TilePlace
{
    int sequence, index; // the index counts from the end where tiles see less

    __device__ __forceinline__ TilePlace(int tile, int tiles, int tiles_per_sequence, int light)
    {
        int whole = tiles_per_sequence - light, sequences = tiles / tiles_per_sequence, after = tile - sequences * whole;
        sequence = after < 0 ? tile / whole : after % sequences;
        index = after < 0 ? tiles_per_sequence - 1 - tile % whole : light - 1 - after / sequences;
    }
};
