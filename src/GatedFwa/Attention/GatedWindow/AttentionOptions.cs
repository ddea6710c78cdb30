using GatedFwa.Tensors;

namespace GatedFwa.Attention;

/// <summary>What a query may see and how its scores are scaled.</summary>
public sealed record AttentionOptions
{
    /// <summary>Keys a query sees, its own included; none for all earlier ones (full causal attention).</summary>
    public int? Window { get; init; }

    /// <summary>The factor of q·k; 1/√D unless given.</summary>
    public float? Scale { get; init; }

    /// <summary>Where sequences lie in the key positions; dense unless given.</summary>
    public SequenceLayout Layout { get; init; } = SequenceLayout.Dense;
}
