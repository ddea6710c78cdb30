using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>
/// The mean of −log softmax(x Wᵀ)[target]: output projection and loss in one, a chunk of tokens at a time, so that the logits of
/// the batch never exist at once.
/// </summary>
public static class LinearCrossEntropy
{
    /// <summary>The mean negative log-likelihood (in nats) of the targets.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">[..., C]: final features, N tokens in all; F32, or on a GPU BF16 or F16.</param>
    /// <param name="weight">F32 [V, C], read in x's type.</param>
    /// <param name="targets">I32, N elements; a negative target is ignored. On the CPU they are checked, wherever x lies.</param>
    /// <param name="perToken">F32, N elements: receives each token's loss (0 where ignored), when given.</param>
    /// <param name="accuracy">F32 scalar, shape []: receives the share of targets whose logit is the largest (the first of equals), over
    /// those that are not ignored (0 where all are), when given.</param>
    /// <returns>F32 scalar, shape []: the mean over targets that are not ignored (0 where all are).</returns>
    /// <remarks>A GPU is not waited for only to look at targets: one there that is not below V makes the loss NaN.</remarks>
    /// <exception cref="OperandException">The shapes, types or devices do not match, or a target is not below V.</exception>
    public static Tensor Apply(Tape tape, Tensor x, Tensor weight, Tensor targets, Tensor? perToken = null, Tensor? accuracy = null)
    {
        Check(x, weight, targets, perToken, accuracy);
        Tensor loss = tape.Allocate([], DType.F32, x.Device);
        bool records = tape.NeedsGradient(x, weight);

        // Both gradients are made in the forward pass, while a chunk's logits are at hand; the backward pass only scales them.
        Tensor? dx = records && x.RequiresGradient ? tape.Allocate(x.Shape, x.Type, x.Device) : null;
        Tensor? dweight = records && weight.RequiresGradient ? tape.Allocate(weight.Shape, DType.F32, x.Device) : null;
        if (x.Device.IsCpu)
        {
            LinearCrossEntropyCpu.Forward(x, weight, targets, perToken, accuracy, loss, dx, dweight);
            if (records)
            {
                tape.Record(nameof(LinearCrossEntropy), loss, dloss =>
                {
                    if (dx is not null) LinearCrossEntropyCpu.AddScaled(dx, dloss, tape.Accumulator(x)!);
                    if (dweight is not null) LinearCrossEntropyCpu.AddScaled(dweight, dloss, tape.Accumulator(weight)!);
                });
            }

            return loss;
        }

        if (targets.Device.IsCpu) targets = tape.Own(Tensor.From(targets.AsIntegerSpan(), targets.Shape, x.Device));
        Tensor share = tape.Allocate([], DType.F32, x.Device);
        LinearCrossEntropyCuda.Forward(x, weight, targets, perToken, accuracy, loss, share, dx, dweight);
        if (records)
        {
            tape.Record(nameof(LinearCrossEntropy), loss, dloss =>
            {
                if (dx is not null) LinearCrossEntropyCuda.Scale(dx, dloss, share, tape.Accumulator(x, out bool store)!, store);
                if (dweight is null) return;
                Tensor sum = tape.Accumulator(weight, out bool storeDweight)!;
                LinearCrossEntropyCuda.Scale(dweight, dloss, share, sum, storeDweight);
            });
        }

        return loss;
    }

    private static void Check(Tensor x, Tensor weight, Tensor targets, Tensor? perToken, Tensor? accuracy)
    {
        const string Name = nameof(LinearCrossEntropy);
        Operands.RequireActivations(Name, x);
        Operands.RequireFloats(Name, weight, perToken, accuracy);
        Operands.RequireOneDevice(Name, x, weight, targets.Device.IsCpu ? null : targets, perToken, accuracy);
        if (weight.Shape.Rank != 2) throw new OperandException(Name, "a weight [vocabulary, width]", $"{weight.Shape}");
        if (x.Shape.Rank == 0 || x.Shape[^1] != weight.Shape[1])
            throw new OperandException(Name, $"features [..., {weight.Shape[1]}] for the weight {weight.Shape}", $"{x.Shape}");
        int tokens = x.Shape.Rows;
        if (targets.Type != DType.I32 || targets.Count != tokens)
            throw new OperandException(Name, $"{tokens} I32 targets for the features {x.Shape}", $"{targets.Type} {targets.Shape}");
        if (perToken is not null && perToken.Count != tokens)
            throw new OperandException(Name, $"room for the losses of {tokens} tokens", $"{perToken.Shape}");
        if (accuracy is { Count: not 1 }) throw new OperandException(Name, "room for one number, the accuracy", $"{accuracy.Shape}");
        if (targets.Device.IsCpu) LinearCrossEntropyCpu.CheckTargets(targets, weight.Shape[0]);
    }
}
