namespace GatedFwa.Tensors.Operations;

/// <summary>The elements of a tensor in another type.</summary>
internal static class Cast
{
    /// <summary>target = source, rounded to the nearest where the type is narrower.</summary>
    /// <param name="source">On a GPU: F32, BF16 or F16.</param>
    /// <param name="target">As many elements, on the same GPU.</param>
    /// <exception cref="OperandException">The tensors lie on the CPU, whose kernels know F32 alone.</exception>
    public static void Copy(Tensor source, Tensor target)
    {
        if (source.Device.IsCpu || target.Device != source.Device || target.Count != source.Count)
            throw new OperandException(nameof(Cast), "two tensors of one size on one GPU", $"{source} on {source.Device} and {target} on {target.Device}");
        CastCuda.Apply(source, target);
    }
}
