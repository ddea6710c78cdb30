using System.Runtime.CompilerServices;
using GatedFwa.Attention.Kernels;

namespace GatedFwa.Attention;

/// <summary>
/// dα of one head from what one work item's queries see. α_s lies between every key j &lt; s and query i ≥ s, so that
/// dα_s = −C(s) with C(s) = Σ dS_ij over j &lt; s ≤ i, and C(s + 1) = C(s) + Σ_i dS_is − Σ_j dS_sj.
/// </summary>
/// <remarks>
/// C starts anew at every tile's edge from the sums of the tiles that cross it, so that rounding travels at most 64 positions,
/// however long the text. Row sums of dS are 0 but for rounding; taking them as they came out lets that rounding cancel.
/// </remarks>
internal sealed unsafe class DecayGradient(int firstTile, int tiles)
{
    private readonly double[] _keySums = new double[tiles * Tile.Size];
    private readonly double[] _rowSums = new double[tiles * Tile.Size];

    // Differences: what begins to cross at a tile's start, less what ends to.
    private readonly double[] _crossing = new double[tiles + 1];

    /// <summary>Takes the sums Σ_i dS_ij of a tile of queries and a tile of keys.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Add(float* keySums, int rowTile, int keyTile)
    {
        Span<double> sums = _keySums.AsSpan((keyTile - firstTile) * Tile.Size, Tile.Size);
        double all = 0;
        for (int j = 0; j < sums.Length; j++)
        {
            sums[j] += keySums[j];
            all += keySums[j];
        }

        _crossing[keyTile + 1 - firstTile] += all;
        _crossing[rowTile + 1 - firstTile] -= all;
    }

    /// <summary>Takes Σ_j dS_ij of a query.</summary>
    public void SetRowSum(int row, float sum) => _rowSums[row - (firstTile * Tile.Size)] = sum;

    /// <summary>dα of each position from the first tile's start.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public float[] Finish()
    {
        var gradient = new float[_keySums.Length];
        double crossing = 0;
        for (int tile = 0; tile < tiles; tile++)
        {
            crossing += _crossing[tile];
            double sum = crossing;
            for (int s = tile * Tile.Size; s < (tile + 1) * Tile.Size; s++)
            {
                gradient[s] = (float)-sum;
                sum += _keySums[s] - _rowSums[s];
            }
        }

        return gradient;
    }
}
