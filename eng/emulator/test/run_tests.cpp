// Holds the emulator to plain loops: ./run_tests kernels.cu warp.cuh [the name of a kernel that must be refused]
#include "gpu.h"

#include "../device/numbers.h"

#include <cmath>
#include <cstring>

using namespace emulator;

namespace
{
using Matrix = std::vector<unsigned short>;

// Small numbers that bf16 holds and whose sums of products float holds.
Matrix small_numbers(int count, unsigned seed)
{
    Matrix values(count);
    for (auto &value : values)
    {
        seed = seed * 1664525 + 1013904223;
        value = float_to_bf16(float(int(seed >> 24) % 17 - 8) / 4);
    }
    return values;
}

// The sum over k of a b; a is [m, k] or, transposed, [k, m], and b [n, k] or [k, n].
float plain_product(const Matrix &a, const Matrix &b, int i, int j, int m, int n, int k, bool a_by_k, bool b_by_k)
{
    float sum = 0;
    for (int p = 0; p < k; p++) sum += bf16_to_float(a[a_by_k ? p * m + i : i * k + p]) * bf16_to_float(b[b_by_k ? p * n + j : j * k + p]);
    return sum;
}

void test_sums(Module &module)
{
    int columns = 1000;
    std::vector<float> x(3 * columns);
    for (int i = 0; i < 3 * columns; i++) x[i] = float(i % 7);
    Buffer input(x), sums(3, 0.0f);
    REQUIRE(module.launch("row_sums", 3, 256, 0, {&input.address, &sums.address, &columns}) == 0);
    for (int row = 0; row < 3; row++)
    {
        float sum = 0;
        for (int i = 0; i < columns; i++) sum += x[row * columns + i];
        REQUIRE(sums.read()[row] == sum);
    }
}

void test_conversions(Module &module)
{
    constexpr int count = 65536;
    std::vector<float> x(count);
    for (int i = 0; i < count; i++) x[i] = bits_float(unsigned(i) * 65537u + 12345u); // every exponent, both signs
    x[0] = bits_float(0x3f808000), x[1] = bits_float(0x3f818000), x[2] = 65519.9f, x[3] = 65520, x[4] = 0x1p-25f, x[5] = 0x1.8p-25f;
    Buffer input(x);
    Buffer<unsigned short> to_bf16(count, 0), to_f16(count, 0);
    Buffer back(count, 0.0f);
    REQUIRE(module.launch("conversions", count / 256, 256, 0, {&input.address, &to_bf16.address, &to_f16.address, &back.address}) == 0);
    auto bf16s = to_bf16.read(), f16s = to_f16.read();
    auto floats = back.read();
    REQUIRE(bf16s[0] == 0x3f80 && bf16s[1] == 0x3f82 && f16s[2] == 0x7bff && f16s[3] == 0x7c00 && f16s[4] == 0 && f16s[5] == 1);
    for (int i = 0; i < count; i++)
    {
        int exponent = i >> 10 & 31, mantissa = i & 1023;
        float value = exponent == 0 ? std::ldexp(float(mantissa), -24) : std::ldexp(float(1024 + mantissa), exponent - 25);
        if (i >> 15) value = -value;
        if (exponent != 31) REQUIRE(floats[i] == value && float_to_f16(value) == i);
        if (exponent == 31) REQUIRE(mantissa == 0 ? std::isinf(floats[i]) : std::isnan(floats[i]));
        // No neighbour is nearer.
        if (std::isnan(x[i]))
            REQUIRE(std::isnan(bf16_to_float(bf16s[i])) && std::isnan(f16_to_float(f16s[i])));
        else if (std::fabs(x[i]) < 65504)
            for (int step : {-1, 1})
                REQUIRE(std::fabs(double(f16_to_float(f16s[i])) - x[i]) <= std::fabs(double(f16_to_float(f16s[i] + step)) - x[i]) ||
                        (f16s[i] & 0x7fff) == 0);
    }
}

void test_warp_product(Module &module)
{
    Matrix a = small_numbers(16 * 16, 1), b = small_numbers(16 * 8, 2);
    Buffer x(a), y(b);
    Buffer c(16 * 8, 0.0f);
    REQUIRE(module.launch("warp_product", 1, 32, 0, {&x.address, &y.address, &c.address}) == 0);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 8; j++) REQUIRE(c.read()[i * 8 + j] == plain_product(a, b, i, j, 16, 8, 16, false, true));
    Buffer difference(1, 0u);
    REQUIRE(module.launch("fragment_trip", 1, 32, 0, {&difference.address}) == 0);
    REQUIRE(difference.read()[0] == 0);
}

struct alignas(64) Map { unsigned char bytes[128]; };

// Boxes of 64 x 64 of a row-major matrix of 16-bit numbers.
Map map_of(const Buffer<unsigned short> &buffer, int rows, int columns)
{
    Map map;
    uint64_t dimensions[] = {uint64_t(columns), uint64_t(rows), 1, 1}, row_bytes = columns * 2ull;
    uint64_t strides[] = {row_bytes, row_bytes * rows, row_bytes * rows};
    unsigned box[] = {64, 64, 1, 1}, ones[] = {1, 1, 1, 1};
    REQUIRE(cuTensorMapEncodeTiled(&map, 9, 4, reinterpret_cast<void *>(buffer.address), dimensions, strides, box, ones, 0, 3, 0, 0) == 0);
    return map;
}

// m and n below 64 and 128 test the tensors' edges: what lies outside counts as zeros and is not written.
void test_hopper_product(Module &module, int m, int n, int transposed_a, int transposed_b)
{
    constexpr int k = 64;
    bool a_by_k = transposed_a > 0;
    Matrix a = small_numbers(m * k, 3), b = small_numbers(n * k, 4);
    Buffer x(a), y(b);
    Buffer<unsigned short> z(m * n, 0);
    Map map_a = a_by_k ? map_of(x, k, m) : map_of(x, m, k), map_b = transposed_b ? map_of(y, k, n) : map_of(y, n, k), map_c = map_of(z, m, n);
    REQUIRE(module.launch("hopper_product", 1, 128, 8192 + 16384 + 1024, {&map_a, &map_b, &map_c, &transposed_a, &transposed_b}) == 0);
    auto c = z.read();
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) REQUIRE(c[i * n + j] == float_to_bf16(plain_product(a, b, i, j, m, n, k, a_by_k, transposed_b)));
}

void test_pipeline(Module &module)
{
    int parts = 9;
    std::vector<float> x(parts * 128);
    for (size_t i = 0; i < x.size(); i++) x[i] = float(i % 13);
    Buffer input(x), sums(128, 1.0f);
    REQUIRE(module.launch("pipeline", 2, 160, 1024, {&input.address, &sums.address, &parts}) == 0);
    for (int i = 0; i < 128; i++)
    {
        float sum = 0;
        for (int part = 0; part < parts; part++) sum += x[part * 128 + i];
        REQUIRE(sums.read()[i] == 1 + 2 * sum);
    }
}

// d = 2 op(a) op(b) + c / 2 + bias, column-major, with room between the columns.
void test_matrix_product(int transposed_a, int transposed_b)
{
    constexpr int m = 37, n = 29, k = 53, room = 3, r_32f = 0, r_16bf = 14, compute_32f = 68, epilogue_bias = 4;
    int a_rows = transposed_a ? k : m, a_columns = transposed_a ? m : k, b_rows = transposed_b ? n : k, b_columns = transposed_b ? k : n;
    Matrix a = small_numbers((a_rows + room) * a_columns, 5), b = small_numbers((b_rows + room) * b_columns, 6);
    std::vector<float> c((m + room) * n), bias(m);
    for (size_t i = 0; i < c.size(); i++) c[i] = float(i % 11);
    for (int i = 0; i < m; i++) bias[i] = float(i);
    Buffer x(a), y(b);
    Buffer z(c), offsets(bias);
    auto pointer = [](uint64_t address) { return reinterpret_cast<void *>(address); };
    void *what, *la, *lb, *lc;
    float alpha = 2, beta = 0.5f;
    REQUIRE(cublasLtMatmulDescCreate(&what, compute_32f, r_32f) == 0);
    REQUIRE(cublasLtMatmulDescSetAttribute(what, 3, &transposed_a, 4) == 0 && cublasLtMatmulDescSetAttribute(what, 4, &transposed_b, 4) == 0);
    REQUIRE(cublasLtMatmulDescSetAttribute(what, 7, &epilogue_bias, 4) == 0 && cublasLtMatmulDescSetAttribute(what, 8, &offsets.address, 8) == 0);
    REQUIRE(cublasLtMatrixLayoutCreate(&la, r_16bf, a_rows, a_columns, a_rows + room) == 0);
    REQUIRE(cublasLtMatrixLayoutCreate(&lb, r_16bf, b_rows, b_columns, b_rows + room) == 0);
    REQUIRE(cublasLtMatrixLayoutCreate(&lc, r_32f, m, n, m + room) == 0);
    REQUIRE(cublasLtMatmul(nullptr, what, &alpha, pointer(x.address), la, pointer(y.address), lb, &beta, pointer(z.address), lc,
                           pointer(z.address), lc, nullptr, nullptr, 0, nullptr) == 0);
    auto d = z.read();
    for (int j = 0; j < n; j++)
        for (int i = 0; i < m + room; i++)
        {
            float expected = c[j * (m + room) + i];
            if (i < m)
            {
                float sum = 0;
                for (int p = 0; p < k; p++)
                    sum += bf16_to_float(a[transposed_a ? i * (k + room) + p : p * (m + room) + i]) *
                           bf16_to_float(b[transposed_b ? p * (n + room) + j : j * (k + room) + p]);
                expected = 2 * sum + expected / 2 + bias[i];
            }
            REQUIRE(d[j * (m + room) + i] == expected);
        }
}

void test_early_read(Module &module)
{
    Buffer x(256, 0.0f);
    REQUIRE(module.launch("early_read", 1, 128, 16384, {&x.address}) == 0);
    REQUIRE(std::isnan(x.read()[0]) && x.read()[128] == 0);
}

void test_chain(Module &module, int blocks, int rounds)
{
    constexpr int threads = 64, bytes = threads * sizeof(float);
    std::vector<float> weights(rounds * threads);
    float all = 0, sum = 0;
    for (int i = 0; i < rounds * threads; i++) weights[i] = float(i % 5);
    Buffer input(weights), sums(blocks, 0.0f);
    Buffer slots(blocks * threads * 2, 0u);
    REQUIRE(module.launch("chain", blocks, threads, bytes, {&slots.address, &input.address, &sums.address, &rounds}, true) == 0);
    for (int round = 0; round < rounds; round++)
        for (int block = blocks - 1; block >= 0; block--)
        {
            all += weights[round * threads];
            if (round == rounds - 1) sum += all;
        }
    for (float got : sums.read()) REQUIRE(got == sum);
}

void test_early_stage(Module &module)
{
    Buffer weights(32, 3.0f), read(2, 0.0f);
    Buffer slots(32, 0u);
    REQUIRE(module.launch("early_stage", 4, 1, 0, {&slots.address, &weights.address, &read.address}, true) == 0);
    const char *async = getenv("GATEDFWA_EMULATOR_ASYNC");
    bool is_late = async == nullptr || strcmp(async, "early") != 0;
    REQUIRE(std::isnan(read.read()[0]) == is_late && read.read()[1] == 3);
}

// The default device has four multiprocessors, each with room for two blocks of 1024 threads. A refusal does not end the context.
void test_too_large(Module &module)
{
    Buffer sums(9, 0.0f);
    Buffer input(9, 1.0f);
    int columns = 1;
    for (bool cooperative : {true, false})
        for (int blocks : {8, 9})
            REQUIRE(module.launch("empty", blocks, 1024, 0, {}, cooperative) == (cooperative && blocks == 9 ? 720 : 0));
    REQUIRE(module.launch("row_sums", 9, 256, 0, {&input.address, &sums.address, &columns}, true) == 0);
    REQUIRE(sums.read()[8] == 1);
}

// A failed launch ends the context: each of these is a process of its own.
int refuse(Module &module, const std::string &kernel)
{
    Buffer x(100, 0.0f);
    if (kernel == "vain_polls")
    {
        REQUIRE(module.launch("vain_polls", 3, 64, 0, {&x.address}, true) == 719);
        return 0;
    }
    bool is_address = kernel == "wild_write" || kernel == "misaligned" || kernel == "overrun";
    REQUIRE(module.launch(kernel.c_str(), 1, 64, 1024, {&x.address}) == (is_address ? 700 : 719));
    return 0;
}
}

int main(int, char **arguments)
{
    Module module(read_text(arguments[1]), read_text(arguments[2]));
    if (arguments[3] != nullptr) return refuse(module, arguments[3]);
    test_sums(module);
    test_conversions(module);
    test_warp_product(module);
    for (int transposed_a : {-1, 0, 1})
        for (int transposed_b : {0, 1})
        {
            test_hopper_product(module, 64, 128, transposed_a, transposed_b);
            test_hopper_product(module, 40, 104, transposed_a, transposed_b);
        }
    test_pipeline(module);
    for (int transposed_a : {0, 1})
        for (int transposed_b : {0, 1}) test_matrix_product(transposed_a, transposed_b);
    test_early_read(module);
    for (int blocks : {1, 2, 7, 16}) test_chain(module, blocks, 5);
    test_early_stage(module);
    test_too_large(module);
    printf("all products, copies and barriers agree with plain loops\n");
}
