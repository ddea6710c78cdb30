// A thread a number: gates are few beside what they weigh.
#include "packs.cuh"

// y [rows, columns] = sigmoid of x [rows, width] from column `first` on
extern "C" __global__ void __launch_bounds__(256) sigmoid_forward(
    const float *x, float *y, int first, int columns, int width, long long count)
{
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) y[i] = sigmoid(x[i / columns * width + first + i % columns]);
}

extern "C" __global__ void __launch_bounds__(256) sigmoid_backward(
    const float *y, const float *dy, float *dx, int first, int columns, int width, long long count)
{
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) dx[i / columns * width + first + i % columns] += dy[i] * y[i] * (1.f - y[i]);
}
