#include "elements.cuh"

// y [rows, columns] += bias, the same for each row.
extern "C" __global__ void add_bias(ELEMENT *y, const float *bias, long long count, int columns)
{
    long long stride = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride)
        y[i] = from_float<ELEMENT>(to_float(y[i]) + bias[i % columns]);
}

// sums[part, column] = the sum of a part's rows; a thread per column.
extern "C" __global__ void column_sums(const ELEMENT *matrix, float *sums, int rows, int columns, int rows_per_sum)
{
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= columns) return;
    int first = blockIdx.y * rows_per_sum, last = min(rows, first + rows_per_sum);
    float sum = 0;
    for (int row = first; row < last; row++) sum += to_float(matrix[(long long)row * columns + column]);
    sums[(long long)blockIdx.y * columns + column] = sum;
}
