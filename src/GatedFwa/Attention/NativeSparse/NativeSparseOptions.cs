using GatedFwa.Tensors;

namespace GatedFwa.Attention;

/// <summary>What each branch of native sparse attention may see and how scores are scaled.</summary>
public sealed record NativeSparseOptions
{
    /// <summary>Keys a query sees in the window branch, its own included; none for all earlier ones.</summary>
    public int? Window { get; init; }

    /// <summary>ℓ: tokens of a block, counted from the start of each document.</summary>
    public int BlockSize { get; init; } = 64;

    /// <summary>n: blocks a query chooses.</summary>
    /// <remarks>
    /// The query's own block, the one before it and the document's first come before all others, in this order: with n = 1 a query
    /// attends to its own block alone, with n = 2 to that and the one before.
    /// </remarks>
    public int BlockCount { get; init; } = 16;

    /// <summary>The factor of q·k in every branch; 1/√D unless given.</summary>
    public float? Scale { get; init; }

    /// <summary>Where sequences lie in the key positions; dense unless given.</summary>
    public SequenceLayout Layout { get; init; } = SequenceLayout.Dense;
}
