// Where a token lies in its sequence. LAYOUT: 0 dense, 1 packed documents (starts [segments + 1], the last one the end), 2 padded on the
// left (starts [B]).
#pragma once

struct Place
{
    int batch, t; // The token's row of the batch, and its position there.
    bool inside, first, last; // Of a sequence.
};

// Of position t of a row of the batch: for walks, which count both on.
__device__ __forceinline__ Place place_at(int batch, int t, int tokens, const int *starts, int segments)
{
    Place place;
    place.batch = batch;
    place.t = t;
#if LAYOUT == 0
    place.inside = true;
    place.first = t == 0;
    place.last = t == tokens - 1;
#elif LAYOUT == 1
    int low = 0, high = segments; // starts[low] ≤ t < starts[high]
    while (high - low > 1)
    {
        int middle = (low + high) / 2;
        if (starts[middle] <= t) low = middle;
        else high = middle;
    }
    place.inside = true;
    place.first = t == starts[low];
    place.last = t == starts[high] - 1;
#else
    place.inside = t >= starts[place.batch];
    place.first = t == starts[place.batch];
    place.last = t == tokens - 1;
#endif
    return place;
}

// Of a token of [B T]: two divisions.
__device__ __forceinline__ Place place_of(int token, int tokens, const int *starts, int segments)
{
    return place_at(token / tokens, token % tokens, tokens, starts, segments);
}
