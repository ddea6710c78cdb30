// cuTensorMapEncodeTiled: holds the caller to the driver's rules and packs what the copy engine needs.
#include "../runtime/tensor_map.h"
#include "results.h"

#include <cstdio>
#include <cstring>

using emulator::EncodedTensorMap;

namespace
{
int refuse(const char *sentence)
{
    fprintf(stderr, "emulator: cuTensorMapEncodeTiled: %s\n", sentence);
    return invalid_value;
}
}

extern "C" int cuTensorMapEncodeTiled(void *map, int type, unsigned rank, void *address, const uint64_t *dimensions, const uint64_t *strides,
                                      const unsigned *box, const unsigned *element_strides, int interleave, int swizzle, int, int)
{
    constexpr int element_bytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};
    constexpr int swizzle_none = 0, swizzle_128 = 3;
    if (rank < 1 || rank > 5) return refuse("the rank must be 1 to 5");
    if (type < 0 || type > 12) return refuse("no such element type");
    if (reinterpret_cast<uint64_t>(map) % 64 != 0) return refuse("the map must lie at a multiple of 64 bytes");
    if (reinterpret_cast<uint64_t>(address) % 16 != 0) return refuse("the tensor must begin at a multiple of 16 bytes");
    if (interleave != 0) return refuse("interleaved layouts are not modelled");
    if (swizzle != swizzle_none && swizzle != swizzle_128) return refuse("of the swizzles, none and 128 bytes are modelled");

    EncodedTensorMap encoded{};
    encoded.magic = emulator::tensor_map_magic;
    encoded.address = reinterpret_cast<uint64_t>(address);
    encoded.rank = uint8_t(rank);
    encoded.swizzles_128 = swizzle == swizzle_128;
    encoded.strides[0] = element_bytes[type];
    for (unsigned i = 0; i < rank; i++)
    {
        if (dimensions[i] < 1 || dimensions[i] > 1ull << 32) return refuse("dimensions must be 1 to 2^32");
        if (box[i] < 1 || box[i] > 256) return refuse("a box has 1 to 256 elements along each axis");
        if (element_strides[i] != 1) return refuse("of the element strides, 1 is modelled");
        if (i > 0 && (strides[i - 1] % 16 != 0 || strides[i - 1] >= 1ull << 40)) return refuse("strides must be multiples of 16 bytes below 2^40");
        encoded.dimensions[i] = uint32_t(dimensions[i] - 1);
        encoded.box[i] = uint16_t(box[i]);
        if (i > 0) encoded.strides[i] = strides[i - 1];
    }
    unsigned inner_bytes = box[0] * element_bytes[type];
    if (inner_bytes % 16 != 0) return refuse("a box's rows must be multiples of 16 bytes");
    if (swizzle == swizzle_128 && inner_bytes != 128)
        return refuse("with the 128-byte swizzle a box's rows must have 128 bytes (fewer are not modelled)");

    memset(map, 0, 128);
    memcpy(map, &encoded, sizeof encoded);
    return success;
}
