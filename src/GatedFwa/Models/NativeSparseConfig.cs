using GatedFwa.Attention;

namespace GatedFwa.Models;

/// <summary>Native sparse attention in a model's layers, beside the window (docs/operator.md, "Native sparse attention").</summary>
public sealed record NativeSparseConfig
{
    /// <summary>ℓ: tokens of a block.</summary>
    public int BlockSize { get; init; } = 64;

    /// <summary>n: blocks a query chooses; its own, the one before and the text's first are among them.</summary>
    public int BlockCount { get; init; } = 16;

    /// <summary>What the operator is told.</summary>
    internal NativeSparseOptions Options(int? window) => new() { Window = window, BlockSize = BlockSize, BlockCount = BlockCount };
}
