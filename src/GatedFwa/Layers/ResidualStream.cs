using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Layers;

/// <summary>What runs from block to block: x, and what the last block adds to it. The norm that comes next does the sum.</summary>
/// <param name="X">[B, T, C].</param>
/// <param name="Branch">[B, T, C]; null where nothing is to be added.</param>
internal readonly record struct ResidualStream(Tensor X, Tensor? Branch = null)
{
    /// <summary>The norm of the sum.</summary>
    /// <param name="tape">Owns the results and records the operations.</param>
    /// <param name="weight">[C].</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="sum">The sum itself.</param>
    public Tensor Norm(Tape tape, Parameter weight, float epsilon, out Tensor sum)
    {
        if (Branch is not null) return RmsNorm.ApplyToSum(tape, X, Branch, weight, out sum, epsilon);
        sum = X;
        return RmsNorm.Apply(tape, X, weight, epsilon);
    }

    /// <summary>One block's way, of whose intermediates nothing stays for inference, nor anything of this.</summary>
    public ResidualStream Through(Tape tape, TransformerBlock block, ForwardPass pass)
    {
        (Tensor x, Tensor? branch) = tape.Scoped((Block: block, Tape: tape, Stream: this, Pass: pass), static part =>
        {
            ResidualStream result = part.Block.Apply(part.Tape, part.Stream, part.Pass);
            return (result.X, result.Branch);
        });
        if (X != x) tape.GiveBack(X);
        if (Branch is not null) tape.GiveBack(Branch);
        return new(x, branch);
    }
}
