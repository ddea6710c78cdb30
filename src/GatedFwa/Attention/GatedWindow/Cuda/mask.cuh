// Which pairs of a tile of queries and a tile of keys see each other.
#pragma once

// j <= i and j > i - W; both lie in one segment because no tile mixes segments.
__device__ __forceinline__ bool is_visible(int row, int key, int window) { return key <= row && key > row - window; }
