namespace GatedFwa.Tensors.Cpu;

/// <summary>The innermost product: a tile of C that lives in registers while one panel of A and one of B stream by.</summary>
internal unsafe interface IMicroKernel
{
    /// <summary>Rows of the tile, and the width of a panel of A.</summary>
    static abstract int Rows { get; }

    /// <summary>Columns of the tile, and the width of a panel of B.</summary>
    static abstract int Columns { get; }

    /// <summary>C[Rows, Columns] (+)= Σ over k of a[k]ᵀ · b[k].</summary>
    /// <param name="depth">The steps k.</param>
    /// <param name="a">[depth, Rows].</param>
    /// <param name="b">[depth, Columns].</param>
    /// <param name="c">The tile's first element.</param>
    /// <param name="strideC">Floats between the tile's rows.</param>
    /// <param name="accumulate">Add to what is there; otherwise it is not read.</param>
    static abstract void Multiply(nint depth, float* a, float* b, float* c, nint strideC, bool accumulate);
}
