namespace GatedFwa.Tensors.Cuda;

/// <summary>A kernel text: an embedded <c>.cu</c> file beside its operation.</summary>
/// <param name="Owner">A type of the assembly that embeds it.</param>
/// <param name="File">Its name, such as <c>rms_norm.cu</c>.</param>
internal sealed record KernelSource(Type Owner, string File);

/// <summary>What a kernel text is compiled with: <c>-DName=Value</c>.</summary>
/// <param name="Name">Upper case.</param>
/// <param name="Value">A literal or a type.</param>
internal readonly record struct KernelDefine(string Name, string Value)
{
    public static implicit operator KernelDefine((string Name, int Value) define) =>
        new(define.Name, define.Value.ToString(System.Globalization.CultureInfo.InvariantCulture));

    public static implicit operator KernelDefine((string Name, bool Value) define) => new(define.Name, define.Value ? "1" : "0");

    public static implicit operator KernelDefine((string Name, string Value) define) => new(define.Name, define.Value);

    /// <summary>ELEMENT: the type that activations are read and written in.</summary>
    public static KernelDefine Element(DType type) => ("ELEMENT", type switch
    {
        DType.F32 => "float",
        DType.BF16 => "bf16",
        DType.F16 => "f16",
        _ => throw new OperandException("A kernel", "elements of F32, BF16 or F16", $"{type}"),
    });
}
