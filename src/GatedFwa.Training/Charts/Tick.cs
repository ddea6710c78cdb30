namespace GatedFwa.Training.Charts;

/// <summary>A value that an axis names.</summary>
/// <param name="Value">The value.</param>
/// <param name="Text">Its name.</param>
internal readonly record struct Tick(double Value, string Text);
