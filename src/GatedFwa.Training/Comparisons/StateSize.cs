namespace GatedFwa.Training.Comparisons;

/// <summary>The size of a decoder's state after a text.</summary>
/// <param name="Tokens">The length of the text.</param>
/// <param name="Bytes">Bytes of the state.</param>
public readonly record struct StateSize(long Tokens, long Bytes);
