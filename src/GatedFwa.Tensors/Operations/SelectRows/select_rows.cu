// Some rows of a matrix [..., WIDTH], none of them twice; a thread has PACK neighbouring columns.
#include "packs.cuh"

constexpr int threads_per_row = WIDTH / PACK;

// Calls body(row, column) for this thread's place in [count, WIDTH].
template <class Body> __device__ __forceinline__ void at_place(int count, Body body)
{
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < (long long)count * threads_per_row) body(i / threads_per_row, (int)(i % threads_per_row) * PACK);
}

extern "C" __global__ void __launch_bounds__(256)
select_rows_forward(const int *__restrict__ rows, const ELEMENT *__restrict__ x, ELEMENT *__restrict__ y, int count)
{
    at_place(count, [=](long long row, int column) {
        float values[PACK];
        load(x + (long long)rows[row] * WIDTH + column, values);
        store(values, y + row * WIDTH + column);
    });
}

extern "C" __global__ void __launch_bounds__(256)
select_rows_backward(const int *__restrict__ rows, const ELEMENT *__restrict__ dy, ELEMENT *dx, int count)
{
    at_place(count, [=](long long row, int column) {
        float values[PACK];
        load(dy + row * WIDTH + column, values);
        add(values, dx + (long long)rows[row] * WIDTH + column);
    });
}
