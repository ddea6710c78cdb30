// Products of a warpgroup, done when the program waits for them. Until then their accumulators hold NaN, so that who reads one
// early finds out, and operands are read as late as the device may read them.
#include "../device/numbers.h"
#include "block.h"

#include <algorithm>
#include <cstring>
#include <vector>

#define CALLER __builtin_return_address(0)

namespace emulator
{
namespace
{
constexpr int rows = 64, depth = 16, warpgroup = 128, max_columns = 256, max_threads = 1024;

struct Accumulator
{
    float *d;
    std::vector<float> values; // d's, while products of it are under way
};

struct Issued
{
    Product what;
    unsigned a[4];
    float *d;
    int group;
};

struct Queue
{
    std::vector<Issued> products;
    std::vector<Accumulator> accumulators;
    int committed = 0;

    float *values_of(const float *d)
    {
        for (auto &accumulator : accumulators)
            if (accumulator.d == d) return accumulator.values.data();
        return nullptr;
    }
};

using Queues = std::vector<Queue>; // of each thread
std::vector<Queues> queues_of_blocks;

Queue *queues() { return queues_of_blocks[block_turn()].data(); }

// The fields of a matrix descriptor.
struct Operand
{
    unsigned start, leading_bytes, stride_bytes;
    bool is_swizzled;

    explicit Operand(unsigned long long descriptor)
        : start((descriptor & 0x3fff) << 4),
          leading_bytes((descriptor >> 16 & 0x3fff) << 4),
          stride_bytes((descriptor >> 32 & 0x3fff) << 4),
          is_swizzled(descriptor >> 62 == 1)
    {
        if (descriptor >> 62 > 1)
            fail("product: of the operands' layouts, none (0) and the 128-byte swizzle (1) are modelled, not %d", int(descriptor >> 62));
        if (descriptor >> 49 & 7) fail("product: an operand's base offset must be 0: its tile begins at a multiple of 1024 bytes");
    }

    unsigned short element(int mn, int k, bool is_transposed) const
    {
        if (!is_swizzled && is_transposed) fail("product: without a swizzle, only operands along K are modelled");
        if (!is_swizzled)
        {
            unsigned at = start + mn / 8 * stride_bytes + k / 8 * leading_bytes + mn % 8 * 16 + k % 8 * 2;
            return *static_cast<const unsigned short *>(shared_pointer(at, 2, "product"));
        }
        unsigned at = is_transposed ? start + mn / 64 * leading_bytes + mn % 64 * 2 + k / 8 * stride_bytes + k % 8 * 128
                                    : start + mn / 8 * stride_bytes + mn % 8 * 128 + k * 2;
        at ^= at >> 3 & 0x70;
        return *static_cast<const unsigned short *>(shared_pointer(at, 2, "product"));
    }
};

float to_float(Element type, unsigned short bits) { return type == Element::bf16 ? bf16_to_float(bits) : f16_to_float(bits); }

// Row and column of accumulator i of a thread of the warpgroup.
int row_of(int thread, int i) { return thread / 32 * 16 + thread % 32 / 4 + i / 2 % 2 * 8; }
int column_of(int thread, int i) { return i / 4 * 8 + thread % 4 * 2 + i % 2; }

void load_a(const Queue *group, const Issued &issued, float (&a)[rows][depth])
{
    Element type = issued.what.type;
    if (issued.what.a == nullptr)
    {
        Operand operand(issued.what.a_descriptor);
        for (int m = 0; m < rows; m++)
            for (int k = 0; k < depth; k++) a[m][k] = to_float(type, operand.element(m, k, issued.what.transposed_a));
        return;
    }
    for (int t = 0; t < warpgroup; t++)
        for (int i = 0; i < 4; i++)
            for (int half = 0; half < 2; half++)
                a[t / 32 * 16 + t % 32 / 4 + i % 2 * 8][t % 4 * 2 + half + i / 2 * 8] =
                    to_float(type, (unsigned short)(group[t].products[0].a[i] >> 16 * half));
}

void load_b(const Issued &issued, float (&b)[depth][max_columns])
{
    Operand operand(issued.what.b_descriptor);
    for (int n = 0; n < issued.what.columns; n++)
        for (int k = 0; k < depth; k++) b[k][n] = to_float(issued.what.type, operand.element(n, k, issued.what.transposed_b));
}

// The oldest product of each of the group's threads.
void multiply(Queue *group)
{
    static float a[rows][depth], b[depth][max_columns], d[rows][max_columns];
    const Issued &first = group[0].products[0];
    int columns = first.what.columns;
    for (int t = 0; t < warpgroup; t++)
    {
        const Product &other = group[t].products[0].what;
        if (other.a_descriptor != first.what.a_descriptor || other.b_descriptor != first.what.b_descriptor || other.columns != columns ||
            other.accumulate != first.what.accumulate)
            fail("product: threads of one warpgroup disagree on operands or accumulation");
        const float *values = group[t].values_of(group[t].products[0].d);
        for (int i = 0; i < columns / 2; i++) d[row_of(t, i)][column_of(t, i)] = first.what.accumulate ? values[i] : 0;
    }
    load_a(group, first, a);
    load_b(first, b);
    for (int m = 0; m < rows; m++)
        for (int k = 0; k < depth; k++)
            for (int n = 0; n < columns; n++) d[m][n] += a[m][k] * b[k][n];
    for (int t = 0; t < warpgroup; t++)
    {
        float *values = group[t].values_of(group[t].products[0].d);
        for (int i = 0; i < columns / 2; i++) values[i] = d[row_of(t, i)][column_of(t, i)];
    }
}

// Accumulators that no product changes any more become readable.
void deliver(Queue &queue)
{
    std::erase_if(queue.accumulators, [&](const Accumulator &accumulator) {
        for (auto &issued : queue.products)
            if (issued.d == accumulator.d) return false;
        std::copy(accumulator.values.begin(), accumulator.values.end(), accumulator.d);
        return true;
    });
}

struct Waiting : Collective
{
    Queue *group;
    int pending;
};

void perform_wait(Collective *const *participants)
{
    auto &wait = *static_cast<Waiting *>(participants[0]);
    Queue *group = wait.group;
    for (int t = 1; t < warpgroup; t++)
        if (group[t].products.size() != group[0].products.size() || group[t].committed != group[0].committed)
            fail("product_wait: threads of one warpgroup have started different products");
    while (!group[0].products.empty() && group[0].products[0].group < group[0].committed - wait.pending)
    {
        multiply(group);
        for (int t = 0; t < warpgroup; t++) group[t].products.erase(group[t].products.begin());
    }
    for (int t = 0; t < warpgroup; t++) deliver(group[t]);
}
}

void reset_products()
{
    size_t block = block_turn();
    if (queues_of_blocks.size() <= block) queues_of_blocks.resize(block + 1);
    queues_of_blocks[block].assign(max_threads, {});
}

bool has_products_under_way() { return !queues()[thread->number].products.empty(); }

void product(float *d, const Product &product)
{
    if (product.columns % 8 != 0 || product.columns < 8 || product.columns > max_columns) fail("product: N = %d", product.columns);
    Queue &queue = queues()[thread->number];
    if (queue.values_of(d) == nullptr)
    {
        int count = product.columns / 2;
        queue.accumulators.push_back({d, {d, d + count}});
        memset(d, 0xff, count * sizeof(float));
    }
    Issued issued{product, {}, d, queue.committed};
    if (product.a != nullptr) std::copy(product.a, product.a + 4, issued.a);
    queue.products.push_back(issued);
}

void product_commit() { queues()[thread->number].committed++; }

void product_wait(int pending)
{
    Waiting own{{"product_wait", warpgroup, ~0u, perform_wait}, &queues()[thread->number / warpgroup * warpgroup], pending};
    meet(own, CALLER);
}
}
