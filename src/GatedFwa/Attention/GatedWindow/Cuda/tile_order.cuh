// Which tile comes when. A sequence is a head's text; `light` of its tiles lie near an end of it and see less than a window. Tiles that
// see a whole window come first, neighbours after each other, so that they find each other's operands in the cache: a strip of one head,
// the same strip of each other head of the text, the next strip. All heads of a token lie beside each other in memory, and a long text has
// more pages than the GPU keeps the addresses of: head by head, each would be looked up as often as there are heads. The light ones come
// last, the longest of all sequences first: blocks that have one tile more than others end with a short one.
#pragma once

struct TilePlace
{
    int batch, head, index; // the index counts from the end where tiles see less

    __device__ __forceinline__ TilePlace(int tile, int heads, int tiles_per_sequence, int light, int strip, int tiles)
    {
        int whole = tiles_per_sequence - light, sequences = tiles / tiles_per_sequence, after = tile - sequences * whole;
        if (after < 0)
        {
            batch = tile / (heads * whole);
            int own = tile - batch * heads * whole; // of the text
            int first = own / (heads * strip) * strip, length = min(strip, whole - first);
            own -= heads * first;
            head = own / length;
            index = tiles_per_sequence - 1 - first - own % length;
        }
        else
        {
            batch = after % sequences / heads;
            head = after % sequences % heads;
            index = light - 1 - after / sequences;
        }
    }
};
