using GatedFwa.Tensors;

namespace GatedFwa.Attention;

/// <summary>How much each branch of native sparse attention counts, per query and head: o = Σ gate ∘ branch.</summary>
/// <param name="Compressed">F32 [B, T, H]: of the attention to the means of blocks.</param>
/// <param name="Selected">F32 [B, T, H]: of the attention to the chosen blocks.</param>
/// <param name="Window">F32 [B, T, H]: of the gated window attention.</param>
public sealed record BranchGates(Tensor Compressed, Tensor Selected, Tensor Window);
