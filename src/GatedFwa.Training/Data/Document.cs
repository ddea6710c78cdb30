namespace GatedFwa.Training.Data;

/// <summary>A text that stands for itself: a file, or a page of reference documentation.</summary>
/// <param name="Name">Where it came from, for messages.</param>
/// <param name="Text">Valid UTF-8, not empty.</param>
public readonly record struct Document(string Name, ReadOnlyMemory<byte> Text);
