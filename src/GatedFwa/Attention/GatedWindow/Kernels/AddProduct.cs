using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention.Kernels;

/// <summary>C = rescale ∘ C + A·B in memory.</summary>
internal unsafe struct AddProduct<V, S> : ITileKernel
    where V : struct
    where S : struct, ISimd<V>
{
    /// <summary>Terms of each sum.</summary>
    public int Depth;

    /// <summary>A: element (r, k) at r · RowStride + k · Step.</summary>
    public float* A;

    /// <summary>Floats between rows and between columns of A: a transposed A costs nothing.</summary>
    public int RowStride, Step;

    /// <summary>B [Depth, Columns] and C [R, Columns], contiguous.</summary>
    public float* B, C;

    /// <summary>A whole number of vectors.</summary>
    public int Columns;

    /// <summary>A factor for each row of C before the sum is added, or null.</summary>
    public float* Rescale;

    /// <summary>All columns, in runs that fit the registers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Run(int rows)
    {
        for (int vectors = Columns / S.Width; vectors > 0;)
        {
            // Evenly: five vectors are 3 + 2, because 4 + 1 would leave a kernel of few accumulators.
            int max = Tile.MaxVectors(S.Width), runs = (vectors + max - 1) / max, now = (vectors + runs - 1) / runs;
            TileKernel.Run(ref this, rows, now);
            B += now * S.Width;
            C += now * S.Width;
            vectors -= now;
        }
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public readonly void Run<R, N>()
        where R : struct, ICount
        where N : struct, ICount
    {
        float* c = C, factors = Rescale;
        nint stride = Columns;
        // From zero, and C joins at the end: a sum over a long text is then one of tiles, whose rounding errors are few.
        Row<V, S, N> c0 = default, c1 = default, c2 = default, c3 = default, c4 = default, c5 = default;
        Product<V, S, R, N>.Accumulate(Depth, A, RowStride, Step, B, stride, ref c0, ref c1, ref c2, ref c3, ref c4, ref c5);
        if (factors == null)
        {
            c0 = c0.Add(Row<V, S, N>.Load(c));
            if (R.Value > 1) c1 = c1.Add(Row<V, S, N>.Load(c + stride));
            if (R.Value > 2) c2 = c2.Add(Row<V, S, N>.Load(c + (2 * stride)));
            if (R.Value > 3) c3 = c3.Add(Row<V, S, N>.Load(c + (3 * stride)));
            if (R.Value > 4) c4 = c4.Add(Row<V, S, N>.Load(c + (4 * stride)));
            if (R.Value > 5) c5 = c5.Add(Row<V, S, N>.Load(c + (5 * stride)));
        }
        else
        {
            c0 = c0.MultiplyAdd(S.Create(factors[0]), Row<V, S, N>.Load(c));
            if (R.Value > 1) c1 = c1.MultiplyAdd(S.Create(factors[1]), Row<V, S, N>.Load(c + stride));
            if (R.Value > 2) c2 = c2.MultiplyAdd(S.Create(factors[2]), Row<V, S, N>.Load(c + (2 * stride)));
            if (R.Value > 3) c3 = c3.MultiplyAdd(S.Create(factors[3]), Row<V, S, N>.Load(c + (3 * stride)));
            if (R.Value > 4) c4 = c4.MultiplyAdd(S.Create(factors[4]), Row<V, S, N>.Load(c + (4 * stride)));
            if (R.Value > 5) c5 = c5.MultiplyAdd(S.Create(factors[5]), Row<V, S, N>.Load(c + (5 * stride)));
        }

        c0.Store(c);
        if (R.Value > 1) c1.Store(c + stride);
        if (R.Value > 2) c2.Store(c + (2 * stride));
        if (R.Value > 3) c3.Store(c + (3 * stride));
        if (R.Value > 4) c4.Store(c + (4 * stride));
        if (R.Value > 5) c5.Store(c + (5 * stride));
    }
}
