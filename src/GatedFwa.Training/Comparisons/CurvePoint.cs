namespace GatedFwa.Training.Comparisons;

/// <summary>How well a model did at some moment of its training.</summary>
/// <param name="Tokens">Tokens it had learned from.</param>
/// <param name="Seconds">Seconds it had trained for, in median steps.</param>
/// <param name="Loss">Nats a byte of the text held out.</param>
public readonly record struct CurvePoint(long Tokens, double Seconds, double Loss);
