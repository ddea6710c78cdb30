using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention.Kernels;

/// <summary>
/// Brings the rows of one head, which lie H·D apart in a [B, T, H, D] tensor, next to each other in tiles of 64. What a tile has
/// beyond its rows, and a row beyond D, is zero: nothing outside a segment is ever read.
/// </summary>
internal static unsafe class TilePacking<V, S>
    where V : struct
    where S : struct, ISimd<V>
{
    /// <summary>tile[r, :] = factor · source[r, :].</summary>
    /// <param name="source">The first row.</param>
    /// <param name="stride">Floats from one row to the next.</param>
    /// <param name="rows">Rows there are; the tile's others become zero.</param>
    /// <param name="headSize">D.</param>
    /// <param name="factor">Multiplies every element.</param>
    /// <param name="tile">Receives [64, D in whole vectors].</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows(float* source, nint stride, int rows, int headSize, float factor, float* tile)
    {
        V times = S.Create(factor);
        int padded = Tile.PaddedSize(headSize, S.Width), whole = headSize / S.Width * S.Width;
        for (int row = 0; row < rows; row++, source += stride, tile += padded)
        {
            for (int d = 0; d < whole; d += S.Width) S.Store(S.Multiply(S.Load(source + d), times), tile + d);
            for (int d = whole; d < headSize; d++) tile[d] = source[d] * factor;
            for (int d = headSize; d < padded; d++) tile[d] = 0;
        }

        new Span<float>(tile, (Tile.Size - rows) * padded).Clear();
    }

    /// <summary>target[r, :] += factor · tile[r, :].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddRows(float* tile, int rows, int headSize, float factor, float* target, nint stride)
    {
        V times = S.Create(factor);
        int padded = Tile.PaddedSize(headSize, S.Width), whole = headSize / S.Width * S.Width;
        for (int row = 0; row < rows; row++, target += stride, tile += padded)
        {
            for (int d = 0; d < whole; d += S.Width) S.Store(S.MultiplyAdd(S.Load(tile + d), times, S.Load(target + d)), target + d);
            for (int d = whole; d < headSize; d++) target[d] += tile[d] * factor;
        }
    }

    /// <summary>transposed[d, r] = tile[r, d].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transpose(float* tile, int headSize, float* transposed)
    {
        int padded = Tile.PaddedSize(headSize, S.Width);
        for (int d = 0; d < headSize; d++)
        {
            for (int row = 0; row < Tile.Size; row++) transposed[(d * Tile.Size) + row] = tile[(row * padded) + d];
        }
    }
}
