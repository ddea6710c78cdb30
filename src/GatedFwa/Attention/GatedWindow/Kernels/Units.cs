namespace GatedFwa.Attention.Kernels;

/// <summary>Scores are kept in log2 units, because 2^x is what a processor can do.</summary>
internal static class Units
{
    /// <summary>log2 e: from natural to log2 units.</summary>
    public const double Log2E = 1.4426950408889634;

    /// <summary>ln 2: back again.</summary>
    public const double Ln2 = 0.6931471805599453;
}
