// Doubles each value and adds to it: the result tells in which order launches ran. FACTOR makes another module of it.
extern "C" __global__ void double_and_add(float *values, float value)
{
    values[threadIdx.x] = FACTOR * values[threadIdx.x] + value;
}
