// What tile_order.cuh says of every tile, for TileOrderTests.
#include "tile_order.cuh"

// places [tiles, 3]: batch, head, index.
extern "C" __global__ void tile_places(int *places, int heads, int tiles_per_sequence, int light, int strip, int tiles)
{
    for (int tile = threadIdx.x; tile < tiles; tile += blockDim.x)
    {
        TilePlace place(tile, heads, tiles_per_sequence, light, strip, tiles);
        places[3 * tile] = place.batch;
        places[3 * tile + 1] = place.head;
        places[3 * tile + 2] = place.index;
    }
}
