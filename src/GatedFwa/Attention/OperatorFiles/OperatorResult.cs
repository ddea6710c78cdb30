using GatedFwa.Checkpoints;

namespace GatedFwa.Attention;

/// <summary>What an operator made of a file's tensors.</summary>
/// <param name="Kind">The operator.</param>
/// <param name="Tensors">Its results and gradients.</param>
/// <param name="Metadata">The settings it ran with, as the output file names them.</param>
public sealed record OperatorResult(string Kind, IReadOnlyList<SafetensorsTensor> Tensors, IReadOnlyDictionary<string, string> Metadata);
