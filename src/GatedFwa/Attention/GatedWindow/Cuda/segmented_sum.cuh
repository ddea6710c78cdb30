// A sum over neighbouring positions that starts anew where a segment begins. Sums of neighbours are added up in the order of their
// positions, grouped as one likes, which is what lets lanes and blocks share a row.
#pragma once

struct SegmentedSum
{
    double value;
    int restarts; // a segment begins inside: nothing before it counts
};

__device__ __forceinline__ SegmentedSum operator+(SegmentedSum before, SegmentedSum next)
{
    return {next.restarts ? next.value : before.value + next.value, before.restarts | next.restarts};
}
