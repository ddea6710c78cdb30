// libcublasLt.so.13: matrix products as cuBLASLt defines them, column-major, accumulated in float.
#include "../device/numbers.h"
#include "../runtime/memory.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

using namespace emulator;

namespace
{
enum Status { success = 0, invalid_value = 7, not_supported = 15 };
enum Type { r_32f = 0, r_16f = 2, r_16bf = 14 };
enum Epilogue { epilogue_default = 1, epilogue_relu = 2, epilogue_bias = 4, epilogue_relu_bias = 6 };

struct Description
{
    int compute_type = 68, scale_type = r_32f, pointer_mode = 0, transposes_a = 0, transposes_b = 0, epilogue = epilogue_default;
    int bias_type = -1;
    const void *bias = nullptr;
};

struct Layout
{
    int type = r_32f, row_major = 0, batch_count = 1;
    uint64_t rows = 0, columns = 0;
    int64_t leading = 0, batch_stride = 0;

    int element_bytes() const { return type == r_32f ? 4 : 2; }
    int64_t offset(uint64_t row, uint64_t column) const { return row_major ? row * leading + column : column * leading + row; }
    int64_t elements() const { return rows == 0 || columns == 0 ? 0 : offset(rows - 1, columns - 1) + 1 + (batch_count - 1) * batch_stride; }
};

struct Heuristic
{
    uint64_t algorithm[8];
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

int refuse(const char *sentence, int status = invalid_value)
{
    fprintf(stderr, "emulator: cuBLASLt: %s\n", sentence);
    return status;
}

template <class T> int set(T &field, const void *value, size_t size)
{
    if (size != sizeof field) return refuse("an attribute has the wrong size");
    memcpy(&field, value, size);
    return success;
}

float load(int type, const void *values, int64_t i)
{
    if (type == r_32f) return static_cast<const float *>(values)[i];
    auto bits = static_cast<const unsigned short *>(values)[i];
    return type == r_16f ? f16_to_float(bits) : bf16_to_float(bits);
}

void store(int type, void *values, int64_t i, float value)
{
    if (type == r_32f)
        static_cast<float *>(values)[i] = value;
    else
        static_cast<unsigned short *>(values)[i] = type == r_16f ? float_to_f16(value) : float_to_bf16(value);
}

const char *address(const void *values, const Layout &layout, int batch)
{
    return static_cast<const char *>(values) + batch * layout.batch_stride * layout.element_bytes();
}

// op(matrix) as floats, column-major and contiguous.
std::vector<float> unfold(const void *values, const Layout &layout, bool is_transposed)
{
    uint64_t rows = is_transposed ? layout.columns : layout.rows, columns = is_transposed ? layout.rows : layout.columns;
    std::vector<float> result(rows * columns);
    for (uint64_t j = 0; j < columns; j++)
        for (uint64_t i = 0; i < rows; i++)
            result[j * rows + i] =
                load(layout.type, values, is_transposed ? layout.offset(j, i) : layout.offset(i, j));
    return result;
}

// c[m, n] = a b, all column-major and contiguous. Four columns of c share each load of a; k ascends.
void multiply(const float *a, const float *b, float *c, uint64_t m, uint64_t n, uint64_t k)
{
    constexpr uint64_t tile = 1024;
    std::fill(c, c + m * n, 0.0f);
    for (uint64_t first = 0; first < m; first += tile)
    {
        uint64_t rows = std::min(tile, m - first);
        for (uint64_t j = 0; j < n; j += 4)
        {
            uint64_t columns = std::min<uint64_t>(4, n - j);
            for (uint64_t p = 0; p < k; p++)
            {
                const float *__restrict x = a + p * m + first;
                for (uint64_t q = 0; q < columns; q++)
                {
                    float *__restrict y = c + (j + q) * m + first;
                    float factor = b[(j + q) * k + p];
                    for (uint64_t i = 0; i < rows; i++) y[i] += x[i] * factor;
                }
            }
        }
    }
}

bool is_known(int type) { return type == r_32f || type == r_16f || type == r_16bf; }
}

extern "C"
{
size_t cublasLtGetVersion() { return 130000; }

int cublasLtCreate(void **handle)
{
    *handle = new int;
    return success;
}

int cublasLtDestroy(void *handle)
{
    delete static_cast<int *>(handle);
    return success;
}

const char *cublasLtGetStatusName(int status)
{
    switch (status)
    {
    case success: return "CUBLAS_STATUS_SUCCESS";
    case invalid_value: return "CUBLAS_STATUS_INVALID_VALUE";
    case not_supported: return "CUBLAS_STATUS_NOT_SUPPORTED";
    default: return "CUBLAS_STATUS unknown";
    }
}

const char *cublasLtGetStatusString(int status) { return cublasLtGetStatusName(status); }

int cublasLtMatmulDescCreate(void **description, int compute_type, int scale_type)
{
    auto *created = new Description;
    created->compute_type = compute_type;
    created->scale_type = scale_type;
    *description = created;
    return scale_type == r_32f ? success : refuse("scale types other than float are not modelled", not_supported);
}

int cublasLtMatmulDescDestroy(void *description)
{
    delete static_cast<Description *>(description);
    return success;
}

int cublasLtMatmulDescSetAttribute(void *description, int attribute, const void *value, size_t size)
{
    auto &d = *static_cast<Description *>(description);
    switch (attribute)
    {
    case 0: return set(d.compute_type, value, size);
    case 1: return set(d.scale_type, value, size);
    case 2: return set(d.pointer_mode, value, size);
    case 3: return set(d.transposes_a, value, size);
    case 4: return set(d.transposes_b, value, size);
    case 7: return set(d.epilogue, value, size);
    case 8: return set(d.bias, value, size);
    case 26: return set(d.bias_type, value, size);
    default: return success;
    }
}

int cublasLtMatrixLayoutCreate(void **layout, int type, uint64_t rows, uint64_t columns, int64_t leading)
{
    auto *created = new Layout;
    created->type = type;
    created->rows = rows;
    created->columns = columns;
    created->leading = leading;
    *layout = created;
    return is_known(type) ? success : refuse("of the types, R_32F, R_16F and R_16BF are modelled", not_supported);
}

int cublasLtMatrixLayoutDestroy(void *layout)
{
    delete static_cast<Layout *>(layout);
    return success;
}

int cublasLtMatrixLayoutSetAttribute(void *layout, int attribute, const void *value, size_t size)
{
    auto &l = *static_cast<Layout *>(layout);
    switch (attribute)
    {
    case 0: return set(l.type, value, size);
    case 1: return set(l.row_major, value, size);
    case 2: return set(l.rows, value, size);
    case 3: return set(l.columns, value, size);
    case 4: return set(l.leading, value, size);
    case 5: return set(l.batch_count, value, size);
    case 6: return set(l.batch_stride, value, size);
    default: return refuse("an unknown attribute of a layout");
    }
}

int cublasLtMatmulPreferenceCreate(void **preference)
{
    *preference = new int;
    return success;
}

int cublasLtMatmulPreferenceDestroy(void *preference)
{
    delete static_cast<int *>(preference);
    return success;
}

int cublasLtMatmulPreferenceSetAttribute(void *, int, const void *, size_t) { return success; }

int cublasLtMatmulAlgoGetHeuristic(void *, void *, void *, void *, void *, void *, void *, int requested, Heuristic *results, int *count)
{
    if (requested < 1) return invalid_value;
    *results = {};
    *count = 1;
    return success;
}

int cublasLtMatmul(void *, void *description, const float *alpha, const void *a, void *a_layout, const void *b, void *b_layout, const float *beta,
                   const void *c, void *c_layout, void *d, void *d_layout, const void *, void *, size_t, void *)
{
    auto &what = *static_cast<Description *>(description);
    auto &la = *static_cast<Layout *>(a_layout), &lb = *static_cast<Layout *>(b_layout);
    auto &lc = *static_cast<Layout *>(c_layout), &ld = *static_cast<Layout *>(d_layout);
    uint64_t m = ld.rows, n = ld.columns, k = what.transposes_a ? la.rows : la.columns;
    if ((what.transposes_a ? la.columns : la.rows) != m || (what.transposes_b ? lb.columns : lb.rows) != k ||
        (what.transposes_b ? lb.rows : lb.columns) != n || lc.rows != m || lc.columns != n)
        return refuse("the shapes of the product do not fit");
    if (la.type != lb.type || lc.type != ld.type || (ld.type != la.type && ld.type != r_32f))
        return refuse("a and b must be of one type, c and d of one, float or that type", not_supported);
    for (const Layout *l : {&la, &lb, &lc, &ld})
        if (l->leading < int64_t(l->row_major ? l->columns : l->rows)) return refuse("a leading dimension is too small");
    bool reads_c = *beta != 0;
    auto is_valid = [](const void *values, const Layout &l) { return is_device_range(values, l.elements() * l.element_bytes()); };
    if (!is_valid(a, la) || !is_valid(b, lb) || !is_valid(d, ld) || (reads_c && !is_valid(c, lc)))
        return refuse("a matrix does not lie within one allocation of device memory");
    bool has_bias = what.epilogue == epilogue_bias || what.epilogue == epilogue_relu_bias;
    bool has_relu = what.epilogue == epilogue_relu || what.epilogue == epilogue_relu_bias;
    if (!has_bias && !has_relu && what.epilogue != epilogue_default) return refuse("this epilogue is not modelled", not_supported);
    int bias_type = what.bias_type >= 0 ? what.bias_type : ld.type;

    std::vector<float> product(m * n);
    for (int batch = 0; batch < ld.batch_count; batch++)
    {
        auto x = unfold(address(a, la, batch), la, what.transposes_a);
        auto y = unfold(address(b, lb, batch), lb, what.transposes_b);
        multiply(x.data(), y.data(), product.data(), m, n, k);
        const void *old = address(c, lc, batch);
        void *target = const_cast<char *>(address(d, ld, batch));
        for (uint64_t j = 0; j < n; j++)
            for (uint64_t i = 0; i < m; i++)
            {
                float value = *alpha * product[j * m + i];
                if (reads_c) value += *beta * load(lc.type, old, lc.offset(i, j));
                if (has_bias) value += load(bias_type, what.bias, i);
                if (has_relu) value = std::fmax(value, 0.0f);
                store(ld.type, target, ld.offset(i, j), value);
            }
    }
    return success;
}
}
