namespace GatedFwa.Tensors.Operations;

/// <summary>Checks that operations share at their door.</summary>
internal static class Operands
{
    /// <summary>Refuses tensors that are not F32; absent ones pass.</summary>
    public static void RequireFloats(string operation, params ReadOnlySpan<Tensor?> tensors)
    {
        foreach (Tensor? tensor in tensors)
        {
            if (tensor is { Type: not DType.F32 })
                throw new OperandException(operation, $"tensors of {DType.F32}", $"{tensor.Type} {tensor.Shape}");
        }
    }
}
