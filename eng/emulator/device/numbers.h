// 16-bit floating-point numbers in plain C++: to float exactly, from float to the nearest, ties to even; NaN stays NaN.
#pragma once

namespace emulator
{
inline unsigned float_bits(float x) { return __builtin_bit_cast(unsigned, x); }
inline float bits_float(unsigned x) { return __builtin_bit_cast(float, x); }

inline float bf16_to_float(unsigned short bits) { return bits_float(unsigned(bits) << 16); }

inline unsigned short float_to_bf16(float x)
{
    unsigned bits = float_bits(x);
    if (x != x) return (unsigned short)((bits >> 16) | 0x40);
    return (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float f16_to_float(unsigned short bits)
{
    unsigned sign = unsigned(bits & 0x8000) << 16, exponent = bits >> 10 & 31, mantissa = bits & 1023;
    if (exponent == 0) return (sign ? -1.0f : 1.0f) * float(mantissa) * 0x1p-24f;
    if (exponent == 31) return bits_float(sign | 0x7f800000 | mantissa << 13);
    return bits_float(sign | (exponent + 112) << 23 | mantissa << 13);
}

inline unsigned short float_to_f16(float x)
{
    unsigned bits = float_bits(x), magnitude = bits & 0x7fffffff;
    unsigned short sign = (unsigned short)(bits >> 16 & 0x8000);
    if (magnitude > 0x7f800000) return sign | 0x7e00;
    if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520 and more round to infinity
    if (magnitude < 0x38800000)                        // subnormal: adding 1/2 rounds at bit 24 below the point
        return sign | (unsigned short)(float_bits(bits_float(magnitude) + 0.5f) - 0x3f000000);
    return sign | (unsigned short)((magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13);
}
}
