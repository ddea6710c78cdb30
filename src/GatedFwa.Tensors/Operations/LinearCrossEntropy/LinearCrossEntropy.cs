using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>The mean of −log softmax(x Wᵀ)[target]: output projection and loss in one, a chunk of tokens at a time, so that the logits of the batch never exist at once.</summary>
public static class LinearCrossEntropy
{
    /// <summary>The mean negative log-likelihood (in nats) of the targets.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">F32 [..., C]: final features, N tokens in all.</param>
    /// <param name="weight">F32 [V, C].</param>
    /// <param name="targets">I32, N elements; a negative target is ignored.</param>
    /// <param name="perToken">F32, N elements: receives each token's loss (0 where ignored), when given.</param>
    /// <returns>F32 scalar, shape []: the mean over targets that are not ignored (0 where all are).</returns>
    /// <exception cref="OperandException">The shapes do not match, or a target is not below V.</exception>
    public static Tensor Apply(Tape tape, Tensor x, Tensor weight, Tensor targets, Tensor? perToken = null) => throw new NotImplementedException();
}
