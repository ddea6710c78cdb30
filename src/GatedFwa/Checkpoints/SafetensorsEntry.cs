using GatedFwa.Tensors;

namespace GatedFwa.Checkpoints;

/// <summary>What a safetensors header says of one tensor.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">The type of its elements.</param>
/// <param name="Shape">Its extents, outermost first.</param>
/// <param name="Start">Where its first byte lies, counted from the end of the header.</param>
/// <param name="End">One past its last byte.</param>
public sealed record SafetensorsEntry(string Name, SafetensorsType Type, Shape Shape, long Start, long End)
{
    /// <summary>The bytes it takes.</summary>
    public long Bytes => End - Start;
}
