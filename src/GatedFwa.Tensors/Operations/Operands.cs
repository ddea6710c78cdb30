namespace GatedFwa.Tensors.Operations;

/// <summary>Checks that operations share at their door. Absent tensors pass.</summary>
internal static class Operands
{
    /// <summary>Refuses tensors that are not F32 (parameters, statistics, gates) and such on different devices.</summary>
    public static void RequireFloats(string operation, params ReadOnlySpan<Tensor?> tensors)
    {
        foreach (Tensor? tensor in tensors)
        {
            if (tensor is { Type: not DType.F32 })
                throw new OperandException(operation, $"tensors of {DType.F32}", $"{tensor.Type} {tensor.Shape}");
        }

        RequireOneDevice(operation, tensors);
    }

    /// <summary>
    /// Refuses tensors that are not of one type among F32, BF16 and F16, or not on one device; on the CPU that type is F32.
    /// </summary>
    public static void RequireActivations(string operation, params ReadOnlySpan<Tensor?> tensors)
    {
        Tensor? first = null;
        foreach (Tensor? tensor in tensors)
        {
            if (tensor is null) continue;
            first ??= tensor;
            if (!AreActivations(tensor.Type, tensor.Device))
                throw NoActivations(operation, tensor.Type, tensor.Device, $"{tensor.Type} {tensor.Shape}");
            if (tensor.Type != first.Type)
                throw new OperandException(operation, $"activations of one type, {first.Type}", $"{tensor.Type} {tensor.Shape}");
        }

        RequireOneDevice(operation, tensors);
    }

    /// <summary>The same of a result that is to be made.</summary>
    public static void RequireActivations(string operation, DType type, Device device)
    {
        if (!AreActivations(type, device)) throw NoActivations(operation, type, device, $"{type}");
    }

    /// <summary>Refuses tensors on different devices.</summary>
    public static void RequireOneDevice(string operation, params ReadOnlySpan<Tensor?> tensors)
    {
        Tensor? first = null;
        foreach (Tensor? tensor in tensors)
        {
            if (tensor is null) continue;
            first ??= tensor;
            if (tensor.Device != first.Device)
            {
                throw new OperandException(
                    operation,
                    $"tensors on one device, {first.Device} as of {first.Type} {first.Shape}",
                    $"{tensor.Type} {tensor.Shape} on {tensor.Device}");
            }
        }
    }

    private static bool AreActivations(DType type, Device device) =>
        type == DType.F32 || (!device.IsCpu && type is (DType.BF16 or DType.F16));

    // By itself, so that nothing is put into words unless something is refused.
    private static OperandException NoActivations(string operation, DType type, Device device, string actual)
    {
        if (type == DType.I32)
            return new(operation, device.IsCpu ? $"tensors of {DType.F32}" : $"activations of {DType.F32}, {DType.BF16} or {DType.F16}", actual);
        string name = type == DType.BF16 ? "bfloat16" : "float16";
        return new(operation, $"tensors of {DType.F32}", $"{actual} on the CPU ({name} runs on GPUs; use F32 on the CPU)");
    }
}
