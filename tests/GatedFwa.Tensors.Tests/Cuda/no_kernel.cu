extern "C" __global__ void no_kernel(float *values)
{
    values[0] = of_nothing_that_is_declared;
}
