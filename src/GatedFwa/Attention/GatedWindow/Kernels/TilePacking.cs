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
    public static void Pack(float* source, nint stride, int rows, int headSize, float factor, float* tile)
    {
        int padded = Tile.PaddedSize(headSize, S.Width);
        for (int row = 0; row < rows; row++, source += stride, tile += padded) PackRow(source, headSize, factor, tile);
        new Span<float>(tile, (Tile.Size - rows) * padded).Clear();
    }

    /// <summary>packed = factor · row, and zeros up to whole vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void PackRow(float* row, int headSize, float factor, float* packed)
    {
        V times = S.Create(factor);
        int whole = headSize / S.Width * S.Width;
        for (int d = 0; d < whole; d += S.Width) S.Store(S.Multiply(S.Load(row + d), times), packed + d);
        if (whole < headSize) S.Store(S.Multiply(S.Load(row + whole, headSize - whole), times), packed + whole);
    }

    /// <summary>target = factor · row of a tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Unpack(float* row, int headSize, float factor, float* target)
    {
        V times = S.Create(factor);
        int whole = headSize / S.Width * S.Width;
        for (int d = 0; d < whole; d += S.Width) S.Store(S.Multiply(S.Load(row + d), times), target + d);
        if (whole < headSize) S.Store(S.Multiply(S.Load(row + whole), times), target + whole, headSize - whole);
    }

    /// <summary>target[r, :] += factor · tile[r, :].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void UnpackAdd(float* tile, int rows, int headSize, float factor, float* target, nint stride)
    {
        V times = S.Create(factor);
        int padded = Tile.PaddedSize(headSize, S.Width), whole = headSize / S.Width * S.Width, rest = headSize - whole;
        for (int row = 0; row < rows; row++, target += stride, tile += padded)
        {
            for (int d = 0; d < whole; d += S.Width) S.Store(S.MultiplyAdd(S.Load(tile + d), times, S.Load(target + d)), target + d);
            if (rest > 0) S.Store(S.MultiplyAdd(S.Load(tile + whole), times, S.Load(target + whole, rest)), target + whole, rest);
        }
    }

    /// <summary>The dot product of a packed row and one of a tensor.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Dot(float* row, float* source, int headSize)
    {
        V sum = S.Zero;
        int whole = headSize / S.Width * S.Width;
        for (int d = 0; d < whole; d += S.Width) sum = S.MultiplyAdd(S.Load(row + d), S.Load(source + d), sum);
        if (whole < headSize) sum = S.MultiplyAdd(S.Load(row + whole), S.Load(source + whole, headSize - whole), sum);
        return S.Sum(sum);
    }

    /// <summary>transposed[d, r] = tile[r, d], from [64, D in whole vectors] to the same number of rows of 64.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transpose(float* tile, int headSize, float* transposed)
    {
        int padded = Tile.PaddedSize(headSize, S.Width);
        for (int d = 0; d < padded; d += S.Width)
        {
            for (int row = 0; row < Tile.Size; row += S.Width)
            {
                float* from = tile + (row * padded) + d, to = transposed + (d * Tile.Size) + row;
                if (S.Width == 16) Transpose16.Rows16(from, padded, to, Tile.Size);
                else if (S.Width == 8) Transpose8.Rows8(from, padded, to, Tile.Size);
                else TransposeElements(from, padded, to);
            }
        }
    }

    private static void TransposeElements(float* from, nint stride, float* to)
    {
        for (int d = 0; d < S.Width; d++)
        {
            for (int row = 0; row < S.Width; row++) to[(d * Tile.Size) + row] = from[(row * stride) + d];
        }
    }
}
