namespace GatedFwa.Tensors.Operations;

/// <summary>Checks that operations share at their door.</summary>
internal static class Operands
{
    /// <summary>Refuses tensors that are not F32 or not on one device; absent ones pass.</summary>
    public static void RequireFloats(string operation, params ReadOnlySpan<Tensor?> tensors)
    {
        foreach (Tensor? tensor in tensors)
        {
            if (tensor is { Type: not DType.F32 })
                throw new OperandException(operation, $"tensors of {DType.F32}", $"{tensor.Type} {tensor.Shape}");
        }

        RequireOneDevice(operation, tensors);
    }

    /// <summary>Refuses tensors that are not of one type among F32, BF16 and F16, or not on one device; absent ones pass.</summary>
    public static void RequireActivations(string operation, params ReadOnlySpan<Tensor?> tensors)
    {
        Tensor? first = null;
        foreach (Tensor? tensor in tensors)
        {
            if (tensor is null) continue;
            if (tensor.Type == DType.I32) throw new OperandException(operation, "tensors of F32, BF16 or F16", $"{tensor.Type} {tensor.Shape}");
            if (tensor.Type != DType.F32 && tensor.Device.IsCpu)
            {
                string type = tensor.Type == DType.BF16 ? "bfloat16" : "float16";
                throw new OperandException(operation, "tensors of F32", $"{tensor.Type} {tensor.Shape}: {type} runs on GPUs; use F32 on the CPU");
            }

            first ??= tensor;
            if (tensor.Type != first.Type)
                throw new OperandException(operation, $"tensors of one type, {first.Type} as the first", $"{tensor.Type} {tensor.Shape}");
        }

        RequireOneDevice(operation, tensors);
    }

    /// <summary>Refuses tensors that lie on different devices; absent ones pass.</summary>
    public static void RequireOneDevice(string operation, params ReadOnlySpan<Tensor?> tensors)
    {
        Tensor? first = null;
        foreach (Tensor? tensor in tensors)
        {
            first ??= tensor;
            if (tensor is not null && tensor.Device != first!.Device)
                throw new OperandException(operation, $"tensors on {first.Device}", $"{tensor.Type} {tensor.Shape} on {tensor.Device}");
        }
    }
}
