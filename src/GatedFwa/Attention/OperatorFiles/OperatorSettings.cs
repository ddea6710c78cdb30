using GatedFwa.Tensors;

namespace GatedFwa.Attention;

/// <summary>What a caller of <see cref="OperatorFile"/> decides; everything that is not set is read from the file's metadata.</summary>
public sealed record OperatorSettings
{
    /// <summary>
    /// Which operator: <see cref="OperatorFile.AttentionKind"/>, <see cref="OperatorFile.NativeSparseKind"/> or
    /// <see cref="OperatorFile.GateKind"/>.
    /// </summary>
    public string? Kind { get; init; }

    /// <summary>Keys a query sees, its own included. Where the file names none either, all earlier ones (full causal attention).</summary>
    public int? Window { get; init; }

    /// <summary>ℓ, tokens of a block; 64 where the file names none either.</summary>
    public int? BlockSize { get; init; }

    /// <summary>n, blocks a query chooses; 16 where the file names none either.</summary>
    public int? BlockCount { get; init; }

    /// <summary>The factor of q·k; 1/√D where the file names none either.</summary>
    public float? Scale { get; init; }

    /// <summary>The gate's ε; 1e-3 where the file names none either.</summary>
    public float? Epsilon { get; init; }

    /// <summary>Where to compute.</summary>
    public Device Device { get; init; }

    /// <summary>What q, k, v, do and x are rounded to and computed in: F32, or on a GPU BF16 or F16. The gate's parameters, decays and
    /// all results in the file are F32.</summary>
    public DType Type { get; init; }
}
