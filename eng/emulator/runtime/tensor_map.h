// What cuTensorMapEncodeTiled writes into its 128 bytes, and the copy engine reads.
#pragma once

#include <cstdint>

namespace emulator
{
constexpr uint64_t tensor_map_magic = 0x70616d726f736e65ull;

struct EncodedTensorMap
{
    uint64_t magic, address;
    uint64_t strides[5]; // bytes, innermost first; [0] is the element's size
    uint32_t dimensions[5]; // less 1
    uint16_t box[5];
    uint8_t rank;
    bool swizzles_128;
};
static_assert(sizeof(EncodedTensorMap) <= 128);
}
