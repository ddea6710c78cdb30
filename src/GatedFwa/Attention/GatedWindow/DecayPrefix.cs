using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using GatedFwa.Attention.Kernels;

namespace GatedFwa.Attention;

/// <summary>
/// The prefix sum of one head's decay over the tiles that one work item touches, in two levels: Σ α inside each tile, and what the
/// tiles before it add. Nothing reaches further back than the item's first tile, so that a bias is as exact at position 1,000,000
/// as at position 100. In float64 and log2 units; rounded once, when it is a small difference.
/// </summary>
internal readonly unsafe struct DecayPrefix
{
    /// <summary>A decay that leaves nothing of any score: more, up to ∞, changes no result but would drown the decays after it.</summary>
    private const float Cut = 1e4f;

    private readonly double* _local;
    private readonly double* _before;
    private readonly int _firstTile;

    /// <summary>Sums the decay up.</summary>
    /// <param name="memory">Room for <see cref="Doubles"/> numbers.</param>
    /// <param name="alpha">α of the segment's first position; null for no gate.</param>
    /// <param name="stride">Floats from one position to the next.</param>
    /// <param name="length">Positions of the segment; the last tile goes on with no decay.</param>
    /// <param name="firstTile">The item's first tile.</param>
    /// <param name="tiles">How many tiles it touches.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public DecayPrefix(double* memory, float* alpha, nint stride, int length, int firstTile, int tiles)
    {
        _firstTile = firstTile;
        _local = memory;
        _before = memory + ((long)tiles * Tile.Size);
        if (alpha == null)
        {
            new Span<double>(memory, checked((int)Doubles(tiles))).Clear();
            return;
        }

        double before = 0;
        double* local = _local;
        for (int tile = 0; tile < tiles; tile++)
        {
            _before[tile] = before;
            double sum = 0;
            int start = (firstTile + tile) * Tile.Size;
            for (int i = 0; i < Tile.Size; i++)
            {
                if (start + i < length) sum += Math.Min(alpha[(start + i) * stride], Cut) * Units.Log2E;
                *local++ = sum;
            }

            before += sum;
        }
    }

    /// <summary>Numbers that the prefix of so many tiles takes.</summary>
    public static long Doubles(int tiles) => (long)tiles * (Tile.Size + 1);

    /// <summary>u_row − u_j for each key j of a run within a tile; both ends of the run are multiples of 4.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void KeyBias(int row, int keyTile, int firstKey, int keys, float* bias)
    {
        int rowTile = Tile.Of(row) - _firstTile, tile = keyTile - _firstTile;
        double reach = _before[rowTile] - _before[tile] + _local[row - (_firstTile * Tile.Size)];
        double* local = _local + (tile * Tile.Size) + firstKey;
        int j = 0;
        for (Vector512<double> wide = Vector512.Create(reach); j + 16 <= keys; j += 16)
            Vector512.Narrow(Vector512.Load(local + j) - wide, Vector512.Load(local + j + 8) - wide).Store(bias + j);
        for (Vector128<double> narrow = Vector128.Create(reach); j < keys; j += 4)
            Vector128.Narrow(Vector128.Load(local + j) - narrow, Vector128.Load(local + j + 2) - narrow).Store(bias + j);
    }

    /// <summary>u_row − u_i for each row i of a run within a tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void RowBias(int row, int rows, float* bias)
    {
        double* local = _local + (row - (_firstTile * Tile.Size));
        for (int i = 0; i < rows; i++) bias[i] = (float)(local[i] - local[0]);
    }
}
